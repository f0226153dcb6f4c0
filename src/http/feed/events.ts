import { isRefusal } from '../../../actors/decider.ts';
import type { Principal } from '../../../actors/principal.ts';
import type { FeedRow } from '../../../projections/feed.ts';
import type { Env } from '../../env.ts';

/** Contexts that are asked at once. */
const PARALLEL = 8;

/** Events of one context that follow each other. */
interface Run {
  readonly context: string;
  readonly first: number;
  last: number;
}

/**
 * The events that rows stand for, as canonical text by context and version. Each context decides anew whether the caller
 * may read it: what they have lost meanwhile is left out.
 */
async function textsOf(env: Env, principal: Principal, rows: readonly FeedRow[]): Promise<Map<string, string>> {
  const runs = runsOf(rows);
  const texts = new Map<string, string>();
  const work = async () => {
    for (let run = runs.pop(); run !== undefined; run = runs.pop()) {
      const object = env.CONTEXTS.get(env.CONTEXTS.idFromName(run.context));
      let after = run.first - 1;
      while (after < run.last) {
        const history = await object.history(principal, after, run.last - after);
        if (isRefusal(history) || history.events.length === 0) break;
        for (const [index, text] of history.events.entries()) texts.set(`${run.context} ${after + index + 1}`, text);
        after = history.lastVersion;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return texts;
}

/** Rows with the events that they stand for, in the same order, without those that the caller may not read. */
export async function eventsOf(
  env: Env,
  principal: Principal,
  rows: readonly FeedRow[],
): Promise<{ readonly position: number; readonly text: string }[]> {
  const texts = await textsOf(env, principal, rows);
  return rows.flatMap(({ position, context, version }) => {
    const text = texts.get(`${context} ${version}`);
    return text === undefined ? [] : [{ position, text }];
  });
}

function runsOf(rows: readonly FeedRow[]): Run[] {
  const open = new Map<string, Run>();
  const runs: Run[] = [];
  for (const { context, version } of rows) {
    const run = open.get(context);
    if (run?.last === version - 1) run.last = version;
    else {
      const next = { context, first: version, last: version };
      open.set(context, next);
      runs.push(next);
    }
  }
  return runs;
}
