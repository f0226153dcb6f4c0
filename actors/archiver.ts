import { isFault } from '../events/fault.ts';
import { TILE_WIDTH } from '../events/proof.ts';
import { type ColdHistory, type ColdPorts, FILE_MORE_BYTES } from './cold-history.ts';
import type { EventLog } from './log.ts';
import { charsOf, gzip, openSegmentFile, segmentName, writeSegment } from './segment.ts';
import type { ColdTotals } from './segment-table.ts';
import type { Snapshots } from './snapshots.ts';
import type { StreamHead } from './stream-head.ts';
import type { StreamTree } from './tree.ts';

/** Events of a segment: four tiles of the tree. Reading one takes some ten milliseconds. */
const SEGMENT_EVENTS = 4 * TILE_WIDTH;
/** Characters of a segment at most, unless one event or one snapshot has more: what a move holds in memory is some six times that. */
const SEGMENT_CHARS = 4 * 1024 * 1024;
/** Events that stay behind the last snapshot in any case, so that the reads of every day find all they need here. */
const HOT_EVENTS = SEGMENT_EVENTS;
/** Segments that are moved at one alarm. */
const MOVES_PER_ALARM = 4;
/** When the alarm goes on with a move, and when it tries one again that failed. */
const NEXT_MS = 1_000;
const RETRY_MS = 10 * 60_000;

/** What a call has moved. */
export interface Archived {
  readonly moved: ColdTotals;
  /** Whether nothing is left that could be moved. */
  readonly isComplete: boolean;
  /** Why the next segment could not be moved, when that is why it ended; its events are where they were. */
  readonly failure: string | null;
}

/** What an archiver needs to know of its object. */
interface ArchiverSource<State> {
  readonly storage: Pick<DurableObjectStorage, 'transactionSync'>;
  readonly head: StreamHead<State>;
  readonly log: EventLog;
  readonly snapshots: Snapshots<State>;
  readonly tree: StreamTree;
  readonly cold: ColdHistory;
  /** The version up to which every destination has the events. */
  delivered(): number;
  /** Makes sure that the object's alarm fires at `time` or before. */
  armBy(time: number): void;
}

/**
 * Moves the older events of one stream into segments. A segment is written, read back and checked, and only then, in one
 * transaction, its events leave the object: killed at any moment, each event is in one place at least. A file that was
 * written in vain has the name that it will be written under again.
 */
export class Archiver<State> {
  readonly #source: ArchiverSource<State>;
  readonly #ports: ColdPorts | null;
  /** Ends when the move has ended that is under way. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(source: ArchiverSource<State>, ports: ColdPorts | null) {
    this.#source = source;
    this.#ports = ports;
  }

  /** The alarm's part: moves some of what is old enough, and comes again for the rest. Never rejects. */
  async alarm(now: number): Promise<void> {
    const afterMs = this.#ports?.afterMs ?? null;
    if (afterMs === null) return;
    const before = new Date(now - afterMs).toISOString();
    try {
      const { isComplete, failure } = await this.#run({ before, isPartial: false }, MOVES_PER_ALARM);
      if (!isComplete) this.#source.armBy(Date.now() + (failure === null ? NEXT_MS : RETRY_MS));
    } catch (error) {
      console.error(JSON.stringify({ level: 'error', message: 'an archiver failed', error: String(error) }));
    }
  }

  /** Moves everything that can be moved, however new it is. @param segments at most */
  archive(segments: number): Promise<Archived> {
    return this.#run({ before: null, isPartial: true }, segments);
  }

  #run(wish: Wish, segments: number): Promise<Archived> {
    const turn = this.#turn.then(() => this.#moveAll(wish, segments));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #moveAll(wish: Wish, segments: number): Promise<Archived> {
    const moved = { segments: 0, events: 0, bytes: 0 };
    for (;;) {
      const next = this.#next(wish);
      const isEnd = next === null || moved.segments >= segments;
      const bytes = isEnd ? null : await this.#move(next.first, next.last).catch((error) => String(error));
      const failure = typeof bytes === 'string' ? bytes : null;
      if (isEnd || typeof bytes === 'string') {
        if (failure !== null) this.#complain(failure);
        if (moved.segments > 0) await this.#source.cold.tell();
        return { moved, isComplete: next === null, failure };
      }
      if (bytes === null) continue;
      moved.segments += 1;
      moved.events += next.last - next.first + 1;
      moved.bytes += bytes;
    }
  }

  #complain(failure: string): void {
    const message = `${this.#source.head.stream}: events could not be moved`;
    console.error(JSON.stringify({ level: 'error', message, error: failure }));
  }

  /** The events that are moved next, null when there are none. */
  #next({ before, isPartial }: Wish): { readonly first: number; readonly last: number } | null {
    const { log, cold } = this.#source;
    if (!this.#ports || !log.exists) return null;
    const first = cold.last + 1;
    const end = this.#end(isPartial);
    for (let size = largestFrom(first); size >= 1; size /= 2) {
      const last = first + size - 1;
      const isBeyond = last > end;
      // What asks for everything takes smaller segments than what can wait for a large one, but none below a tile.
      if (isBeyond && isPartial && size > TILE_WIDTH) continue;
      if (isBeyond) return null;
      if (size > 1 && log.hotSize(first, last).chars > SEGMENT_CHARS) continue;
      const time = log.hotTime(last);
      return time !== null && (before === null || time < before) ? { first, last } : null;
    }
    return null;
  }

  /** The last version that may be cold: where a tile ends, delivered everywhere, and before the last event. */
  #end(isPartial: boolean): number {
    const { head, delivered } = this.#source;
    const kept = isPartial ? head.version - 1 : head.snapshotVersion - HOT_EVENTS;
    return Math.floor(Math.min(kept, delivered()) / TILE_WIDTH) * TILE_WIDTH;
  }

  /** Moves one segment. @returns the bytes of its file; null when meanwhile it may not be moved any more */
  async #move(first: number, last: number): Promise<number | null> {
    const { storage, head, log, snapshots, tree, cold, delivered } = this.#source;
    const { store } = this.#ports ?? {};
    if (!store) return null;
    const { stream } = head;
    tree.completeTiles(head.version);
    const texts = log.read(first - 1, last - first + 1).map(({ text }) => text);
    if (texts.length !== last - first + 1) throw new Error(`of versions ${first} to ${last} some are missing`);
    const draft = { stream, first, texts, ...snapshots.between(first - 1, last, SEGMENT_CHARS - charsOf(texts)) };
    const { content, row } = writeSegment(draft);
    const name = segmentName(stream, row);
    await store.put(name, await gzip(content));
    const written = await store.get(name, content.length + FILE_MORE_BYTES);
    if (!written || isFault(written)) throw new Error(`the file ${name} is not there after it was written`);
    const opened = await openSegmentFile(written, stream, row, tree.rootOf(first, last));
    if (isFault(opened)) throw new Error(`the file ${name}, just written, ${opened.fault}`);
    // A destination may have asked for them again since.
    if (cold.last !== first - 1 || delivered() < last) return null;
    const boundary = snapshots.at(last);
    storage.transactionSync(() => {
      cold.add({ ...row, fileBytes: written.length });
      log.drop(first, last);
      snapshots.settle(first - 1, boundary);
      tree.drop(first, last);
    });
    head.snapshotted(last);
    return written.length;
  }
}

/** What is to be moved. */
interface Wish {
  /** Only events from before this time (ISO 8601); null for all. */
  readonly before: string | null;
  /** Whether also what does not fill a segment. */
  readonly isPartial: boolean;
}

/** The events of the largest segment that can begin with this one: a power of two that divides what is before it. */
function largestFrom(first: number): number {
  let size = SEGMENT_EVENTS;
  while ((first - 1) % size !== 0) size /= 2;
  return size;
}
