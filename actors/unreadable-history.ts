import type { RefusalReply } from './messages.ts';

/** The first events that are known to be damaged, and what is wrong with them. */
export interface Damage {
  readonly stream: string;
  readonly first: number;
  readonly last: number;
  readonly reason: string;
}

/** Some of the history cannot be read: it is missing or altered, or its place does not answer. It is never skipped. */
export class UnreadableHistory extends Error {
  override readonly name = 'UnreadableHistory';
  readonly damage: Damage;
  /** Whether it may be there all the same. */
  readonly isPassing: boolean;

  constructor(damage: Damage, isPassing = false) {
    super(`versions ${damage.first} to ${damage.last} of ${damage.stream} cannot be read: ${damage.reason}`);
    this.damage = damage;
    this.isPassing = isPassing;
  }

  /** As a refusal to somebody who wanted to read it. @param version that of the stream */
  asRefusal(version: number): RefusalReply {
    const { damage } = this;
    const { stream, first, last } = damage;
    const unreadable = { stream, first, last };
    const range = `Versions ${first} to ${last} of ${stream}`;
    return this.isPassing
      ? { refused: 'history-unavailable', detail: `${range} cannot be read now. Try again.`, version, unreadable }
      : { refused: 'history-damaged', detail: `${range} cannot be read: ${damage.reason}.`, version, unreadable };
  }
}

/** The tree of a stream lacks hashes that its events must have had: they or its tiles were taken away or altered. */
export class BrokenTree extends Error {
  override readonly name = 'BrokenTree';
}
