import { isRefusal } from '../../../actors/decider.ts';
import type { Principal } from '../../../actors/principal.ts';
import type { Envelope } from '../../../events/envelope.ts';
import { type FeedFilter, type FeedRun, isWanted } from '../../../projections/feed.ts';
import type { Env } from '../../env.ts';

/** Contexts that are asked at once. */
const PARALLEL = 8;

/** Events of one context that follow each other, to be read. */
interface Range {
  readonly context: string;
  readonly first: number;
  last: number;
}

/** An event as canonical text, and where it stands in the feed. */
export interface FeedEvent {
  readonly position: number;
  readonly text: string;
}

/**
 * The events of runs that are wanted, in the same order. Each context decides anew whether the caller may read it: what
 * they have lost meanwhile is left out.
 */
export async function eventsOf(
  env: Env,
  principal: Principal,
  runs: readonly FeedRun[],
  wanted: FeedFilter,
): Promise<FeedEvent[]> {
  const texts = await textsOf(env, principal, rangesOf(runs));
  const isFiltered = Object.values(wanted).some((each) => each !== undefined);
  return runs.flatMap(({ context, first, last, position }) =>
    Array.from({ length: last - first + 1 }, (_, index) => first + index).flatMap((version): FeedEvent[] => {
      const text = texts.get(`${context} ${version}`);
      if (text === undefined || (isFiltered && !isWanted(envelopeOf(text), wanted))) return [];
      return [{ position: position - (last - version), text }];
    }),
  );
}

/** The texts of events by context and version. */
async function textsOf(env: Env, principal: Principal, ranges: Range[]): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  const work = async () => {
    for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
      const object = env.CONTEXTS.get(env.CONTEXTS.idFromName(range.context));
      let after = range.first - 1;
      while (after < range.last) {
        const history = await object.history(principal, after, range.last - after);
        if (isRefusal(history) || history.events.length === 0) break;
        for (const [index, text] of history.events.entries()) texts.set(`${range.context} ${after + index + 1}`, text);
        after = history.lastVersion;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return texts;
}

/** What has to be read, so that a context is asked once for what follows each other. */
function rangesOf(runs: readonly FeedRun[]): Range[] {
  const open = new Map<string, Range>();
  const ranges: Range[] = [];
  for (const { context, first, last } of runs) {
    const range = open.get(context);
    if (range?.last === first - 1) range.last = last;
    else {
      const next = { context, first, last };
      open.set(context, next);
      ranges.push(next);
    }
  }
  return ranges;
}

function envelopeOf(text: string): Envelope {
  return JSON.parse(text);
}
