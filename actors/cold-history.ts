import type { Fault } from '../events/fault.ts';
import { isFault } from '../events/fault.ts';
import type { Reading, RefusalReply } from './messages.ts';
import { openSegmentFile, type Segment, type SegmentRow, segmentName } from './segment.ts';
import { type ColdTotals, SegmentTable } from './segment-table.ts';
import { BrokenTree, type Damage, UnreadableHistory } from './unreadable-history.ts';

/**
 * Characters of segments that are kept in memory between two reads, and while one read needs many of them: the most
 * that a command looks back over (`past.ts`) and a segment at each end, which may be over its size by a large state. An
 * object has 128 MB.
 */
const IDLE_CHARS = 8 * 1024 * 1024;
const READING_CHARS = 26 * 1024 * 1024;
/** What a file may have more than its content, which compressed is always shorter but for a few bytes. */
export const FILE_MORE_BYTES = 64 * 1024;
/** How often one read may ask for the same segment: more often means that it needs more at once than there is room for. */
const LOADS_MAX = 3;
/** Segments that are fetched for a sink before it is given up for now: a batch and what is before it are in a few. */
const FIRST_LOADS_MAX = 8;

/** Where segments are kept. */
export interface SegmentStore {
  /** Writes a file; the same name is always given the same bytes. Rejects when it could not. */
  put(name: string, file: Uint8Array): Promise<void>;
  /**
   * Reads a file of so many bytes at most. Rejects when it cannot be told what is there.
   *
   * @returns null when there is none; a fault when it is there and is longer, or cannot be read
   */
  get(name: string, maxBytes: number): Promise<Uint8Array | Fault | null>;
}

/** Who keeps an eye on what is cold. */
export interface ColdMonitor {
  /** So much of a stream is cold now; `damage` is null when nothing is wrong with it as far as was seen. */
  noteCold(stream: string, totals: ColdTotals, damage: Damage | null): Promise<void>;
}

/** What an object's cold history is connected to. */
export interface ColdPorts {
  readonly store: SegmentStore;
  /** How old events are when they are moved, in milliseconds; null when they are moved only when somebody asks for it. */
  readonly afterMs: number | null;
  readonly monitor?: ColdMonitor;
}

/** Thrown where a read needs a segment that is not in memory; whoever began the read gets it and reads once more. */
class Absent extends Error {
  readonly row: SegmentRow;

  constructor(row: SegmentRow) {
    super(`the segment from version ${row.first} is not in memory`);
    this.row = row;
  }
}

/** What the cold history needs to know of its stream. */
interface ColdSource {
  /** `<stream type>/<id>`. */
  stream(): string;
  /** The version of its last event. */
  version(): number;
  /** The root of the subtree over these events as the stream's tree has it, in hexadecimal digits. */
  rootOf(first: number, last: number): string;
}

/**
 * The older part of one stream's history, which was moved out of its object as segments. Reads of the log are
 * synchronous, for what is decided by them must be of one turn; so one that comes to a segment which is not in memory
 * ends there, the segment is fetched, and the whole read is made again: nobody who reads has to know what is where.
 */
export class ColdHistory {
  readonly #segments: SegmentTable;
  readonly #source: ColdSource;
  readonly #ports: ColdPorts | null;
  /** The segments in memory by their first version, the one used last at the end. */
  readonly #held = new Map<number, Segment>();
  /** Ends when those that read before have ended: one at a time, so that what they hold is bounded. */
  #turn: Promise<unknown> = Promise.resolve();

  /** @param hasTable whether anything was ever moved */
  constructor(sql: SqlStorage, hasTable: boolean, source: ColdSource, ports: ColdPorts | null) {
    this.#segments = new SegmentTable(sql, hasTable);
    this.#source = source;
    this.#ports = ports;
  }

  /** Whether anything was ever moved. */
  get isInUse(): boolean {
    return this.#segments.isInUse;
  }

  /** The version of the last event that was moved, 0 when none was. */
  get last(): number {
    return this.#segments.last;
  }

  /** How much was moved. */
  totals(): ColdTotals {
    return this.#segments.totals();
  }

  /** The segment that holds an event. A read that needs one has to be made by `reading`. @param version at most `last` */
  segmentOf(version: number): Segment {
    const row = this.#rowOf(version);
    const held = this.#held.get(row.first);
    if (!held) throw new Absent(row);
    this.#held.delete(row.first);
    this.#held.set(row.first, held);
    return held;
  }

  /** The version of the last event of the segment that holds this one. @param version at most `last` */
  endOf(version: number): number {
    return this.#rowOf(version).last;
  }

  /** The first segment that ends later than `time` (ISO 8601), null when there is none. */
  firstEndingAfter(time: string): Segment | null {
    const first = this.#segments.firstEndingAfter(time);
    return first === null ? null : this.segmentOf(first);
  }

  /** Sees whether what was found to be wrong with these events still is; for who is going to read all of them. */
  recheck(after: number, last: number): void {
    const first = this.#segments.firstDamaged(after, last);
    if (first !== null) this.segmentOf(first);
  }

  /** Notes a segment that was moved; in the transaction that takes its events out of the object. */
  add(row: SegmentRow): void {
    this.#segments.add(row);
  }

  /**
   * Makes a read that may come to what is cold. It may be made several times, so it must change nothing before it has
   * read everything.
   *
   * @throws UnreadableHistory, as a rejection too
   * @returns what the read gives: at once when all it needs is in memory
   */
  reading<Answer>(read: () => Answer): Answer | Promise<Answer> {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
      return this.#inTurn(() => this.#fetching(read, error.row));
    }
  }

  /** A read that fetches nothing. @returns null when something that it needs is not in memory */
  readingAtOnce<Answer extends object>(read: () => Answer): Answer | null {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Absent)) throw error;
      return null;
    }
  }

  /** As `reading`, for somebody who is to be told when it cannot be read. */
  answering<Answer>(read: () => Answer | RefusalReply): Reading<Answer> {
    try {
      const answer = this.reading(read);
      return answer instanceof Promise ? answer.catch((error) => this.#refusalOf(error)) : answer;
    } catch (error) {
      return this.#refusalOf(error);
    }
  }

  #refusalOf(error: unknown): RefusalReply {
    const version = this.#source.version();
    if (error instanceof UnreadableHistory) return error.asRefusal(version);
    if (!(error instanceof BrokenTree)) throw error;
    const damage = { stream: this.#source.stream(), first: 1, last: version, reason: error.message };
    return new UnreadableHistory(damage).asRefusal(version);
  }

  /** As `reading`, for what takes time after it has read: it waits for no other, nor another for it. */
  async readingFirst<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    for (let loads = 0; ; loads++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof Absent) || loads >= FIRST_LOADS_MAX) throw error;
        await this.#inTurn(() => this.#load(error.row));
      }
    }
  }

  /** What is wrong when there are events after these, and nothing says where these are. */
  unknown(first: number, last: number): UnreadableHistory {
    const stream = this.#source.stream();
    return new UnreadableHistory({ stream, first, last, reason: 'nothing says which segment holds them' });
  }

  async #inTurn<Answer>(work: () => Promise<Answer>): Promise<Answer> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined).finally(() => this.#shrink(IDLE_CHARS));
    return turn;
  }

  async #fetching<Answer>(read: () => Answer, absent: SegmentRow): Promise<Answer> {
    const loads = new Map<number, number>();
    for (let row = absent; ; ) {
      const count = (loads.get(row.first) ?? 0) + 1;
      if (count > LOADS_MAX) throw new Error(`a read of ${this.#source.stream()} needs too many segments at once`);
      loads.set(row.first, count);
      await this.#load(row);
      try {
        return read();
      } catch (error) {
        if (!(error instanceof Absent)) throw error;
        row = error.row;
      }
    }
  }

  /** Fetches a segment, checks it and keeps it in memory. */
  async #load(row: SegmentRow): Promise<void> {
    const held = this.#held.get(row.first);
    if (held) return;
    const segment = await this.#fetch(row);
    this.#held.set(row.first, segment);
    this.#shrink(READING_CHARS);
  }

  async #fetch(row: SegmentRow): Promise<Segment> {
    const stream = this.#source.stream();
    const { first, last } = row;
    if (!this.#ports) {
      throw new UnreadableHistory({ stream, first, last, reason: 'there is no place that segments are kept in' }, true);
    }
    const name = segmentName(stream, row);
    let file: Uint8Array | Fault | null;
    try {
      file = await this.#ports.store.get(name, row.bytes + FILE_MORE_BYTES);
    } catch (error) {
      console.error(
        JSON.stringify({ level: 'error', message: 'a segment cannot be fetched', name, error: `${error}` }),
      );
      throw new UnreadableHistory({ stream, first, last, reason: 'their place does not answer' }, true);
    }
    const found = file ?? { fault: 'is missing' };
    const opened = isFault(found) ? found : await openSegmentFile(found, stream, row, this.#source.rootOf(first, last));
    const fault = isFault(opened) ? `the file ${name} ${opened.fault}` : null;
    await this.#noteFault(first, fault);
    if (isFault(opened)) throw new UnreadableHistory({ stream, first, last, reason: fault ?? '' });
    return opened;
  }

  /** Remembers what is wrong with a segment, or that nothing is any more; and tells, when that is news. */
  async #noteFault(first: number, fault: string | null): Promise<void> {
    if (!this.#segments.noteFault(first, fault)) return;
    console.error(JSON.stringify({ level: 'error', message: fault ?? 'a segment is whole again', first }));
    await this.tell();
  }

  /** Tells how much is cold and whether it is whole. Never rejects: what is not heard is told with the next news. */
  async tell(): Promise<void> {
    const stream = this.#source.stream();
    const damaged = this.#segments.damaged();
    const damage = damaged ? { stream, first: damaged.first, last: damaged.last, reason: damaged.fault } : null;
    await this.#ports?.monitor?.noteCold(stream, this.totals(), damage).catch(() => undefined);
  }

  #rowOf(version: number): SegmentRow {
    const row = this.#segments.holding(version);
    if (row) return row;
    throw this.unknown(version, version);
  }

  #shrink(chars: number): void {
    let sum = 0;
    // The one used last stays, however large it is.
    for (const [index, [first, segment]] of [...this.#held].reverse().entries()) {
      sum += segment.chars;
      if (index > 0 && sum > chars) this.#held.delete(first);
    }
  }
}
