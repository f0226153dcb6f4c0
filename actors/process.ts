import type { AlarmClock } from './alarm-clock.ts';

/** A step of a process. */
interface Step<Command> {
  /** When it may be made, in milliseconds since 1970. */
  readonly dueAt: number;
  /**
   * Makes it, though it may have been made before, and gives the command that records how it went; null when it keeps
   * that itself, and is due later by it. Must not reject.
   *
   * @param correlationId what it is grouped with: that of the event which records how it went
   */
  perform(correlationId: string): Promise<Command | null>;
}

/**
 * What a stream does by itself, step by step: work outside of the object whose outcome becomes a command, and so an
 * event. The state alone says what is next, so a process that was killed goes on where its log ends.
 */
export interface Process<State, Command> {
  /** The next step, null when there is none. */
  next(state: State): Step<Command> | null;
}

/** How long after a step began the alarm looks whether it has to be made again, because the object was lost meanwhile, or what it reports was not taken. Any alarm before that does. */
const LOST_STEP_MS = 60_000;

/** What a runner needs to know of its object. */
interface ProcessSource<State, Command> {
  state(): State;
  /** The version of `state`. */
  version(): number;
  /** What the events of the process are grouped with. */
  correlationId(): string;
  /** Carries out a command of the process in the object's own name. */
  record(command: Command): unknown;
}

/** Runs the process of one object: one step at a time, at once when it is due, else by the alarm. */
export class ProcessRunner<State, Command> {
  readonly #alarm: AlarmClock;
  readonly #source: ProcessSource<State, Command>;
  readonly #process: Process<State, Command>;
  #isRunning = false;

  constructor(alarm: AlarmClock, source: ProcessSource<State, Command>, process: Process<State, Command>) {
    this.#alarm = alarm;
    this.#source = source;
    this.#process = process;
  }

  /** Makes every step that is due. Called after each append; never throws. */
  run(): Promise<void> {
    return this.#run(true);
  }

  /** Makes every step that is due. The alarm's work is done when they are made, or fires again: no other need stand behind them. */
  alarm(): Promise<void> {
    return this.#run(false);
  }

  async #run(isGuarded: boolean): Promise<void> {
    if (this.#isRunning) {
      // The alarm that stood behind the step under way may just have fired.
      this.#alarm.armBy(Date.now() + LOST_STEP_MS);
      return;
    }
    this.#isRunning = true;
    try {
      for (;;) {
        const next = this.#process.next(this.#source.state());
        if (next === null) return;
        if (next.dueAt > Date.now()) {
          this.#alarm.armBy(next.dueAt);
          return;
        }
        if (isGuarded) this.#alarm.armBy(Date.now() + LOST_STEP_MS);
        const version = this.#source.version();
        const command = await next.perform(this.#source.correlationId());
        if (command === null) continue;
        await this.#source.record(command);
        // A report that was not taken: made again at once, the step would be made without end.
        if (this.#source.version() === version) throw new Error('the log did not take what came of it');
      }
    } catch (error) {
      // A step that rejects, or whose report is not taken, is a fault of its code; the alarm tries again.
      console.error(JSON.stringify({ level: 'error', message: 'a process step failed', error: String(error) }));
      this.#alarm.armBy(Date.now() + LOST_STEP_MS);
    } finally {
      this.#isRunning = false;
    }
  }
}
