import type { ColdHistory } from './cold-history.ts';
import type { EventLog } from './log.ts';
import type { SnapshotText } from './segment.ts';

/**
 * Events between two snapshots. Waking up replays at most so many, and a snapshot row is 1 % of the rows written.
 * Snapshots are kept, not replaced: they also bound how much a read of the past has to replay.
 */
export const SNAPSHOT_EVERY = 100;

/** Events read at once while replaying, and their characters, give or take one event. */
const REPLAY_PAGE = 1000;
const REPLAY_CHARS = 4 * 1024 * 1024;

/** A state and the version it was reached at. */
export interface Hydrated<State> {
  readonly version: number;
  readonly state: State;
  /** The version of the last snapshot that could be used, 0 when the replay began at the beginning. */
  readonly snapshotVersion: number;
}

/** How a stream's state is rebuilt from its events; replay is always the truth. */
export interface Replay<State> {
  readonly initialState: State;
  /** Raised when the form of the state changes: snapshots of another form are not used. */
  readonly stateSchema: number;
  /** The state after one more event, given as its canonical text. */
  step(state: State, text: string): State;
}

/** The snapshots of one object: what makes waking up and time travel O(1) in the length of the log. */
export class Snapshots<State> {
  readonly #sql: SqlStorage;
  readonly #log: EventLog;
  readonly #cold: ColdHistory;
  readonly #replay: Replay<State>;
  #unusableDropped = false;

  constructor(sql: SqlStorage, log: EventLog, cold: ColdHistory, replay: Replay<State>) {
    this.#sql = sql;
    this.#log = log;
    this.#cold = cold;
    this.#replay = replay;
  }

  /**
   * Rebuilds the state as it was at `version`, the latest when there are fewer events. What goes through a segment, or
   * comes to the end of one whose snapshots are of another state schema, leaves a snapshot there, so that no replay has
   * to begin before it again.
   */
  at(version: number): Hydrated<State> {
    const snapshot = this.#latest(version);
    const snapshotVersion = snapshot?.version ?? 0;
    let state = snapshot?.state ?? this.#replay.initialState;
    let reached = snapshotVersion;
    while (reached < version) {
      const end = reached < this.#cold.last ? this.#cold.endOf(reached + 1) : version;
      const page = this.#log.read(reached, Math.min(REPLAY_PAGE, version - reached, end - reached), REPLAY_CHARS);
      if (page.length === 0) break;
      for (const event of page) {
        state = this.#replay.step(state, event.text);
        reached = event.version;
      }
      const isEnd = reached === end && end <= this.#cold.last;
      if (isEnd && (end < version || this.#isOutdated(end))) this.write(end, state);
    }
    return { version: reached, state, snapshotVersion };
  }

  /**
   * Snapshots in the present form from one version to another, as a segment keeps them: the first in any case, for what
   * is before it is in another segment; and of the others as many as there is room for, spread evenly.
   *
   * @param maxChars of their states, give or take the first
   */
  between(
    from: number,
    to: number,
    maxChars: number,
  ): { readonly stateSchema: number; readonly snapshots: readonly SnapshotText[] } {
    const { stateSchema } = this.#replay;
    const where = 'FROM snapshots WHERE state_schema = ? AND version BETWEEN ? AND ? ORDER BY version';
    const sizes = this.#sql
      .exec<{ version: number; chars: number }>(
        `SELECT version, length(state) AS chars ${where}`,
        stateSchema,
        from,
        to,
      )
      .toArray();
    const snapshots = thinned(sizes, maxChars).flatMap(({ version }) =>
      this.#sql
        .exec<{ version: number; state: string }>(`SELECT version, state ${where}`, stateSchema, version, version)
        .toArray(),
    );
    return { stateSchema, snapshots };
  }

  /** Forgets the snapshots that went into a segment with the events after `after`, and keeps one where these end. */
  settle(after: number, { version, state }: Pick<Hydrated<State>, 'version' | 'state'>): void {
    this.write(version, state);
    this.#sql.exec('DELETE FROM snapshots WHERE version >= ? AND version < ?', after, version);
  }

  /** Writes one row; the first time also drops the rows of another state schema, which nothing can use any more. */
  write(version: number, state: State): void {
    const { stateSchema } = this.#replay;
    if (!this.#unusableDropped) this.#sql.exec('DELETE FROM snapshots WHERE state_schema <> ?', stateSchema);
    this.#unusableDropped = true;
    this.#sql.exec(
      'INSERT OR REPLACE INTO snapshots (version, state_schema, state) VALUES (?, ?, ?)',
      version,
      stateSchema,
      JSON.stringify(state),
    );
  }

  #latest(version: number): { version: number; state: State } | null {
    if (!this.#log.exists) return null;
    const [row] = this.#sql
      .exec<{ version: number; state: string }>(
        'SELECT version, state FROM snapshots WHERE state_schema = ? AND version <= ? ORDER BY version DESC LIMIT 1',
        this.#replay.stateSchema,
        version,
      )
      .toArray();
    const rowVersion = row?.version ?? 0;
    // There is a row where the cold part ends, unless another state schema was in use for a while.
    const lastCold = Math.min(version, this.#cold.last);
    const cold = rowVersion < lastCold ? this.#coldLatest(lastCold) : null;
    if (cold && cold.version > rowVersion) return cold;
    return row ? { version: row.version, state: JSON.parse(row.state) } : null;
  }

  /** The latest one in the segment that holds an event; none when they are of another state schema. */
  #coldLatest(version: number): { version: number; state: State } | null {
    const { stateSchema, snapshots } = this.#cold.segmentOf(version);
    const found = stateSchema === this.#replay.stateSchema && snapshots.findLast((each) => each.version <= version);
    // What is in a segment was written here, from a state of this schema.
    return found ? { version: found.version, state: JSON.parse(found.state) } : null;
  }

  #isOutdated(version: number): boolean {
    return this.#cold.segmentOf(version).stateSchema !== this.#replay.stateSchema;
  }
}

/** Every n-th from the first on, for the least n with which they have so many characters at most; at least the first. */
function thinned<Size extends { readonly chars: number }>(sizes: readonly Size[], maxChars: number): readonly Size[] {
  for (let n = 1; n < sizes.length; n++) {
    const kept = sizes.filter((_, index) => index % n === 0);
    if (kept.reduce((sum, { chars }) => sum + chars, 0) <= maxChars) return kept;
  }
  return sizes.slice(0, 1);
}
