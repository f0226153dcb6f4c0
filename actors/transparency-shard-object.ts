import { DurableObject } from 'cloudflare:workers';
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import type { HandedIn } from './log-sink.ts';
import type { StreamHead } from './transparency-log-object.ts';
import type { Head } from './tree.ts';

/** Heads that could not be handed on wait so many times as long before they are again. */
const RETRY_FACTOR = 5;
/** Streams that are told at the same time: a request of the platform can make so many calls. */
const TOLD_AT_ONCE = 50;

/** A head of a stream that is in the log, and where. */
export interface LoggedHead extends Head {
  readonly index: number;
}

/** What a shard is connected to. */
export interface ShardPorts {
  /** How long heads are collected before they go to the log together, in milliseconds. */
  readonly collectMs: number;
  /** Has heads logged. @returns the index of the first once they are published; the others follow it */
  append(heads: readonly StreamHead[]): Promise<number>;
  /** Tells a stream that its first `size` events are in the log. */
  tell(stream: string, size: number): Promise<void>;
}

/**
 * Collects the heads of its share of the streams for the log, the newest of each, so that the log's own object does not
 * see every change; and remembers where in the log each head is. What it has collected is in memory only: a head that is
 * lost with it is handed in again, as its stream is told of none that was not logged.
 */
export class TransparencyShardActor extends DurableObject<unknown> {
  readonly #sql: SqlStorage;
  readonly #ports: ShardPorts;
  /** The newest head of each stream that waits. */
  #waiting = new Map<string, Head>();
  #isRunning = false;

  constructor(context: DurableObjectState, env: unknown, ports: ShardPorts) {
    super(context, env);
    this.#sql = context.storage.sql;
    this.#ports = ports;
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS heads (
        stream TEXT, size INTEGER, idx INTEGER NOT NULL, root BLOB NOT NULL, PRIMARY KEY (stream, size)
      ) WITHOUT ROWID
    `);
  }

  /**
   * Takes a head.
   *
   * @throws when the log holds another root for this size: the history of the stream was rewritten
   */
  offer(stream: string, head: Head): HandedIn {
    const logged = this.#logged(stream, head.size);
    if (logged !== null && logged.root !== head.root) {
      throw new Error(`The log holds another root for size ${head.size}: the history of ${stream} was rewritten`);
    }
    if (logged !== null) return 'logged';
    this.#wait(stream, head);
    if (!this.#isRunning) void this.#run();
    return 'taken';
  }

  /** The heads of a stream that are in the log, by rising size: the last, and others that are spread evenly. */
  heads(stream: string, limit: number): LoggedHead[] {
    return this.#sql
      .exec<{ size: number; idx: number; root: ArrayBuffer }>(
        `SELECT size, idx, root FROM (
           SELECT *, row_number() OVER (ORDER BY size DESC) - 1 AS place, count(*) OVER () AS total
           FROM heads WHERE stream = ?
         ) WHERE place % ((total + ? - 1) / ?) = 0 ORDER BY size`,
        stream,
        limit,
        limit,
      )
      .toArray()
      .map(({ size, idx, root }) => ({ size, index: idx, root: bytesToHex(new Uint8Array(root)) }));
  }

  #wait(stream: string, head: Head): void {
    const waiting = this.#waiting.get(stream);
    if (!waiting || waiting.size < head.size) this.#waiting.set(stream, head);
  }

  /** Hands on what waits until nothing does. Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    const { collectMs } = this.#ports;
    for (let pauseMs = collectMs; this.#waiting.size > 0; ) {
      await scheduler.wait(pauseMs);
      const heads = [...this.#waiting].map(([stream, head]): StreamHead => ({ stream, ...head }));
      this.#waiting = new Map();
      try {
        await this.#handOn(heads);
        pauseMs = collectMs;
      } catch {
        for (const { stream, size, root } of heads) this.#wait(stream, { size, root });
        pauseMs = RETRY_FACTOR * collectMs;
      }
    }
    // In the turn that found nothing more, so that nothing can come in between.
    this.#isRunning = false;
  }

  async #handOn(heads: readonly StreamHead[]): Promise<void> {
    // One may have come again while it was on its way.
    const fresh = heads.filter(({ stream, size }) => this.#logged(stream, size) === null);
    if (fresh.length > 0) {
      const first = await this.#ports.append(fresh);
      this.ctx.storage.transactionSync(() => {
        for (const [place, { stream, size, root }] of fresh.entries()) {
          this.#sql.exec(
            'INSERT OR IGNORE INTO heads (stream, size, idx, root) VALUES (?, ?, ?, ?)',
            stream,
            size,
            first + place,
            hexToBytes(root),
          );
        }
      });
    }
    for (let at = 0; at < heads.length; at += TOLD_AT_ONCE) {
      const some = heads.slice(at, at + TOLD_AT_ONCE);
      // One that cannot be told asks again by itself.
      await Promise.allSettled(some.map(({ stream, size }) => this.#ports.tell(stream, size)));
    }
  }

  #logged(stream: string, size: number): LoggedHead | null {
    const [row] = this.#sql
      .exec<{ idx: number; root: ArrayBuffer }>(
        'SELECT idx, root FROM heads WHERE stream = ? AND size = ?',
        stream,
        size,
      )
      .toArray();
    return row ? { size, index: row.idx, root: bytesToHex(new Uint8Array(row.root)) } : null;
  }
}
