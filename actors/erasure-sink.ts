import type { ActorEvent } from '../events/actor.ts';
import type { Envelope } from '../events/envelope.ts';
import { ERASURE } from '../events/personal.ts';
import type { ActorState } from './actor.ts';
import { type Recorded, recorded } from './decider.ts';
import type { Sink } from './outbox.ts';
import type { WordHolders } from './word-holders.ts';

/** What the destination is called. */
export const ERASURE_DESTINATION = 'erasure';

/** Streams that are told at once. */
const PARALLEL = 8;

/** Why a stream is told to erase somebody's words. */
export interface ErasureCause {
  readonly correlationId: string;
  /** The event by which they were erased everywhere. */
  readonly causationId: string;
}

/** Tells a stream to erase somebody's words; twice does no harm. @returns whether it did, or a legal hold stands there */
export type EraseIn = (stream: string, subject: string, cause: ErasureCause) => Promise<'erased' | 'held'>;

/**
 * The sink that has an actor's words erased wherever they are, and goes on until every stream has done it: one where a
 * legal hold stands is asked again and again, later and later, until that is lifted.
 */
export function erasureSink(holders: WordHolders, eraseIn: EraseIn): Sink<ActorState> {
  return {
    destinations: [ERASURE_DESTINATION],
    intervalMs: 1_000,
    isReady: (_destination, state) => state !== null,
    async deliver({ version, events }) {
      const read = events();
      // Most of what an actor does is something else, and is not parsed for this.
      const erasure = read.find(({ text }) => text.includes(`"${ERASURE}"`) && openEvent(text).type === ERASURE);
      if (erasure) await eraseAll(openEvent(erasure.text));
      return { confirmed: read.at(-1)?.version ?? version };
    },
  };

  async function eraseAll({ id: causationId, correlationId, stream }: Recorded<ActorEvent>): Promise<void> {
    const subject = stream.slice(stream.indexOf('/') + 1);
    const cause = { correlationId, causationId };
    let failed = 0;
    for (const page of holders.pending()) {
      const waiting = [...page];
      const work = async () => {
        for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
          const status = await eraseIn(next, subject, cause).catch(() => 'failed' as const);
          if (status !== 'failed') holders.set(next, status);
          if (status === 'failed') failed += 1;
        }
      };
      await Promise.all(Array.from({ length: PARALLEL }, work));
    }
    const { held } = holders.counts();
    if (held + failed === 0) return;
    throw new Error(`${held} streams are under a legal hold, ${failed} did not answer`);
  }
}

function openEvent(text: string): Recorded<ActorEvent> {
  const envelope: Envelope = JSON.parse(text);
  return recorded<ActorEvent>(envelope);
}
