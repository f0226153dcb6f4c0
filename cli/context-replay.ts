import type { z } from 'zod';
import { contextView } from '../actors/collaboration.ts';
import { type Context, type ContextState, contextDecider } from '../actors/context.ts';
import { recorded } from '../actors/decider.ts';
import { type ContextEvent, contextEvents, contextUpcasters } from '../events/context.ts';
import { envelopeSchema } from '../events/envelope.ts';
import type { Fault } from '../events/fault.ts';
import { upcast } from '../events/upcast.ts';

/** Computes the state of a context from its events, by the code that the service itself evolves it with. */
export class ContextReplay {
  #state: ContextState = contextDecider.initialState;
  /** The version that has been reached; 0 before the first event. */
  version = 0;

  /** The context as its readers get it; null before it was created. */
  get view(): Context | null {
    return contextView(this.#state);
  }

  /** Takes the text of the next event. @returns why it can be no event of a context; null when it was taken */
  step(text: string): Fault | null {
    const envelope = envelopeSchema.safeParse(parsed(text));
    if (!envelope.success) return { fault: `version ${this.version + 1} is no event` };
    const { stream, type, schemaVersion, version, data } = envelope.data;
    if (!stream.startsWith('context/')) return { fault: `${stream} is no context: only contexts can be replayed` };
    if (!isContextEvent(type)) return { fault: `version ${version} is a ${type}, which is not known here` };
    try {
      const current = upcast(contextUpcasters, type, schemaVersion, data);
      const schema: z.ZodType = contextEvents[type];
      const checked = schema.safeParse(current);
      if (!checked.success) return { fault: `version ${version} is no ${type} as it has to be` };
      this.#state = contextDecider.evolve(this.#state, recorded<ContextEvent>({ ...envelope.data, data: current }));
    } catch (error) {
      // Of a newer service, or where no such event can be: the decider only takes what was once decided.
      return { fault: `version ${version} cannot be replayed: ${error instanceof Error ? error.message : error}` };
    }
    this.version = version;
    return null;
  }
}

function isContextEvent(type: string): type is ContextEvent['type'] {
  return Object.hasOwn(contextEvents, type);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
