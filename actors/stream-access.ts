import type { DomainEvent } from '../events/envelope.ts';
import { type Action, decideAccess } from './access.ts';
import type { RefusalReply } from './messages.ts';
import type { Principal } from './principal.ts';
import type { StreamHead } from './stream-head.ts';
import type { StreamType } from './stream-type.ts';

/** Who may do what with a stream, as it is now. */
export class StreamAccess<State, Command, Event extends DomainEvent> {
  readonly #type: StreamType<State, Command, Event>;
  readonly #head: StreamHead<State>;

  constructor(type: StreamType<State, Command, Event>, head: StreamHead<State>) {
    this.#type = type;
    this.#head = head;
  }

  /** Why the principal may not read in this way; null when they may. */
  refuse(principal: Principal, action: Action): RefusalReply | null {
    const { version, unreadable } = this.#head;
    return version === 0 && !unreadable ? this.#notFound() : this.refuseCommand(principal, action, this.#head.id);
  }

  /** Why the principal may not have this done, which can be that the stream begins; null when they may. */
  refuseCommand(principal: Principal, action: Action, id: string): RefusalReply | null {
    const { version, state, unreadable } = this.#head;
    if (unreadable) {
      this.#head.beginAgain();
      return unreadable.asRefusal(version);
    }
    const relation = this.#type.relation(principal, id, state);
    const verdict = decideAccess(principal, action, relation);
    switch (verdict) {
      case 'allowed':
        return null;
      case 'insufficient-scope': {
        const detail = 'Your credential is not good for this. Use one that has the scope for it.';
        return { refused: verdict, detail, version: 0 };
      }
      case 'hidden':
        return version === 0 ? this.#notFound() : { ...this.#notFound(), isHidden: true };
      case 'forbidden':
        if (version === 0) return this.#notFound();
        return { refused: verdict, detail: `As ${relation} you may not do this.`, version };
      default:
        return verdict satisfies never;
    }
  }

  /** The same for what is not there and for what the caller must not know of. */
  #notFound(): RefusalReply {
    return {
      refused: 'not-found',
      detail: `There is no ${this.#type.name.replace('_', ' ')} with this id.`,
      version: 0,
    };
  }
}
