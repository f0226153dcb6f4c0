import { isPlaceIn, offsetsOf, type Place } from '../../../events/offset.ts';
import { feedName } from '../../../projections/feed.ts';
import type { Env } from '../../env.ts';
import { isProblem, type Problem } from '../problem.ts';
import { foreignOffset, readOffset } from '../query.ts';

/** The names of the feeds that this isolate reads: of one, but in tests. They never change. */
const names = new WeakMap<Env['DB'], string>();

async function nameOf({ DB }: Env): Promise<string> {
  const name = names.get(DB) ?? (await feedName(DB));
  names.set(DB, name);
  return name;
}

/** @returns gives the offset after a position in the feed */
export async function feedOffsets(env: Env): Promise<(position: number) => string> {
  return offsetsOf(await nameOf(env));
}

/** Whether a place is one in the feed, and not in another stream or on another server. */
export async function isInFeed(env: Env, place: Place): Promise<boolean> {
  return isPlaceIn(place, await nameOf(env));
}

/** The position after which an offset of the feed stands. @param name where the offset stands */
export async function readPosition(env: Env, name: string, text: string): Promise<number | 'now' | Problem> {
  const place = readOffset(name, text);
  if (isProblem(place) || place === 'now') return place;
  return (await isInFeed(env, place)) ? place.after : foreignOffset(name);
}
