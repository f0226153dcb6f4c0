import type { EventLog } from './log.ts';

/**
 * Events between two snapshots. Waking up replays at most so many, and a snapshot row is 1 % of the rows written.
 * Snapshots are kept, not replaced: they also bound how much a read of the past has to replay.
 */
export const SNAPSHOT_EVERY = 100;

/** Rows read at once while replaying. */
const REPLAY_PAGE = 1000;

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
  readonly #replay: Replay<State>;
  #unusableDropped = false;

  constructor(sql: SqlStorage, log: EventLog, replay: Replay<State>) {
    this.#sql = sql;
    this.#log = log;
    this.#replay = replay;
  }

  /** Rebuilds the state as it was at `version`, the latest when there are fewer events. */
  at(version: number): Hydrated<State> {
    const snapshot = this.#latest(version);
    const snapshotVersion = snapshot?.version ?? 0;
    let state = snapshot?.state ?? this.#replay.initialState;
    let reached = snapshotVersion;
    while (reached < version) {
      const page = this.#log.read(reached, Math.min(REPLAY_PAGE, version - reached));
      if (page.length === 0) break;
      for (const event of page) {
        state = this.#replay.step(state, event.text);
        reached = event.version;
      }
    }
    return { version: reached, state, snapshotVersion };
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
    return row ? { version: row.version, state: JSON.parse(row.state) } : null;
  }
}
