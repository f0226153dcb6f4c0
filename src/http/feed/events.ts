import { isRefusal } from '../../../actors/decider.ts';
import type { Principal } from '../../../actors/principal.ts';
import type { Envelope } from '../../../events/envelope.ts';
import { type FeedFilter, type FeedRun, isWanted } from '../../../projections/feed.ts';
import type { Env } from '../../env.ts';

/** Contexts that are asked at once. */
const PARALLEL = 8;

/** Characters of events after which no more are read for one part: each who is asked gives a page of as many at most. */
const PART_CHARS = 256 * 1024;

/** Events of one context that follow each other, to be read. */
interface Range {
  readonly context: string;
  readonly first: number;
  last: number;
  /** Up to which version they were read. */
  reached: number;
  /** Why there are no more: they may not be read, or cannot. */
  end: 'not readable' | Failure | null;
}

/** Why events cannot be read. */
interface Failure {
  readonly reason: string;
  /** Whether they may be there all the same. */
  readonly isPassing: boolean;
}

/** An event as canonical text, and where it stands in the feed. */
export interface FeedEvent {
  readonly position: number;
  readonly text: string;
}

/** Events of one context that are in the feed and cannot be read. */
export interface UnreadableRun extends FeedRun, Failure {}

/** What was read of runs. */
interface FeedRead {
  readonly events: readonly FeedEvent[];
  /** The position up to which everything was read; null when all was. */
  readonly upTo: number | null;
  /** What stands there, when it is that it cannot be read. */
  readonly unreadable: UnreadableRun | null;
}

/**
 * The events of runs that are wanted, in the same order, up to the first that cannot be read, or until they are many
 * bytes. Each context decides anew whether the caller may read it: what they have lost meanwhile is left out.
 */
export async function eventsOf(
  env: Env,
  principal: Principal,
  runs: readonly FeedRun[],
  wanted: FeedFilter,
): Promise<FeedRead> {
  const rangeOf = rangesOf(runs);
  const texts = await textsOf(env, principal, new Set(rangeOf.values()));
  const isFiltered = Object.values(wanted).some((each) => each !== undefined);
  const events: FeedEvent[] = [];
  for (const run of runs) {
    const range = rangeOf.get(run);
    if (!range) continue;
    for (let version = run.first; version <= run.last; version++) {
      const position = run.position - (run.last - version);
      const text = texts.get(`${run.context} ${version}`);
      if (text !== undefined) {
        if (!isFiltered || isWanted(envelopeOf(text), wanted)) events.push({ position, text });
      } else if (range.end !== 'not readable') {
        const unreadable = range.end === null ? null : { ...run, ...range.end, first: version };
        return { events, upTo: position - 1, unreadable };
      }
    }
  }
  return { events, upTo: null, unreadable: null };
}

/** The texts of events by context and version. The ranges say how far they were read. */
async function textsOf(env: Env, principal: Principal, ranges: Iterable<Range>): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  let chars = 0;
  const left = ranges[Symbol.iterator]();
  const work = async () => {
    while (chars < PART_CHARS) {
      const { value: range } = left.next();
      if (range === undefined) return;
      const object = env.CONTEXTS.get(env.CONTEXTS.idFromName(range.context));
      do {
        const page = await pageOf(object, principal, range);
        for (const [index, text] of page.entries()) {
          texts.set(`${range.context} ${range.reached + index + 1}`, text);
          chars += text.length;
        }
        range.reached += page.length;
      } while (range.end === null && range.reached < range.last && chars < PART_CHARS);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return texts;
}

/** The next events of a range, which is told why there are none. */
async function pageOf(
  object: ReturnType<Env['CONTEXTS']['get']>,
  principal: Principal,
  range: Range,
): Promise<readonly string[]> {
  const { reached, last } = range;
  try {
    const history = await object.history(principal, reached, last - reached);
    if (!isRefusal(history)) {
      if (history.events.length === 0) range.end = 'not readable';
      return history.events;
    }
    const { refused, detail } = history;
    const isUnreadable = refused === 'history-damaged' || refused === 'history-unavailable';
    range.end = isUnreadable ? { reason: detail, isPassing: refused === 'history-unavailable' } : 'not readable';
  } catch (error) {
    // What the object says itself may tell what is in it.
    console.error(JSON.stringify({ level: 'error', message: `feed: ${range.context} cannot be read: ${error}` }));
    const reason = `Version ${reached + 1} of context/${range.context} cannot be read now. Try again.`;
    range.end = { reason, isPassing: true };
  }
  return [];
}

/** What has to be read for each run, so that a context is asked once for what follows each other. */
function rangesOf(runs: readonly FeedRun[]): Map<FeedRun, Range> {
  const open = new Map<string, Range>();
  const ranges = new Map<FeedRun, Range>();
  for (const run of runs) {
    const { context, first, last } = run;
    const range = open.get(context);
    if (range?.last === first - 1) {
      range.last = last;
      ranges.set(run, range);
    } else {
      const next = { context, first, last, reached: first - 1, end: null };
      open.set(context, next);
      ranges.set(run, next);
    }
  }
  return ranges;
}

function envelopeOf(text: string): Envelope {
  return JSON.parse(text);
}
