import type { UnreadablePlace } from './webhook-ports.ts';

/** A part of the feed that is sent again. */
export interface Replay {
  readonly id: number;
  /** What is after this position, which moves, up to that one. */
  position: number;
  readonly upTo: number;
  /** And of this time (ISO 8601), from the first up to before the second; null for any. */
  readonly from: string | null;
  readonly to: string | null;
  /** How often the event that is next was sent in vain, and when it is sent again (milliseconds since 1970). */
  attempts: number;
  retryAt: number;
  /** Where it stands because an event cannot be read; null when it was not found that it cannot. */
  unreadable: UnreadablePlace | null;
}

/** The replays that a webhook has to make, beside its log; one after the other, but for those that cannot be read. */
export class Replays {
  readonly #sql: SqlStorage;
  #open: Replay[] | null = null;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Those that are not done, oldest first. */
  get open(): readonly Replay[] {
    return this.#load();
  }

  /** Adds one. */
  add(range: Pick<Replay, 'position' | 'upTo' | 'from' | 'to'>): void {
    const open = this.#load();
    const replay = { ...range, id: (open.at(-1)?.id ?? 0) + 1, attempts: 0, retryAt: 0, unreadable: null };
    open.push(replay);
    this.#write(replay);
  }

  /** Notes how far one is. */
  advance(replay: Replay, position: number): void {
    replay.position = position;
    replay.attempts = 0;
    replay.retryAt = 0;
    replay.unreadable = null;
    if (position < replay.upTo) this.#write(replay);
    else this.#end(replay);
  }

  /** Notes that its next event could be read, and was sent in vain. */
  fail(replay: Replay, retryAt: number): void {
    replay.unreadable = null;
    replay.attempts += 1;
    replay.retryAt = retryAt;
    this.#write(replay);
  }

  /** Notes that its next event cannot be read, and when that is tried again. */
  stand(replay: Replay, unreadable: UnreadablePlace, retryAt: number): void {
    replay.unreadable = unreadable;
    replay.retryAt = retryAt;
    this.#write(replay);
  }

  /** Has what failed sent again at once, as if for the first time. */
  retryAll(): void {
    for (const replay of this.#load()) {
      replay.attempts = 0;
      replay.retryAt = 0;
      this.#write(replay);
    }
  }

  /** Forgets them. */
  clear(): void {
    for (const replay of [...this.#load()]) this.#end(replay);
  }

  #end(replay: Replay): void {
    this.#sql.exec('DELETE FROM webhook_replays WHERE id = ?', replay.id);
    this.#open = this.#load().filter(({ id }) => id !== replay.id);
  }

  #write(replay: Replay): void {
    this.#sql.exec(
      'INSERT OR REPLACE INTO webhook_replays (id, replay) VALUES (?, ?)',
      replay.id,
      JSON.stringify(replay),
    );
  }

  #load(): Replay[] {
    if (this.#open === null) {
      this.#sql.exec('CREATE TABLE IF NOT EXISTS webhook_replays (id INTEGER PRIMARY KEY, replay TEXT NOT NULL)');
      this.#open = this.#sql
        .exec<{ replay: string }>('SELECT replay FROM webhook_replays ORDER BY id')
        .toArray()
        .map((row): Replay => ({ unreadable: null, ...JSON.parse(row.replay) }));
    }
    return this.#open;
  }
}
