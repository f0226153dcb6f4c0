import { firstRowid, hourOf } from './contexts.ts';
import { and, quote } from './search-tiers.ts';
import { token } from './terms.ts';
import type { Values } from './values.ts';

/** How much later than its creation a context's rowid may be because others had taken its place. */
const SLACK_MS = 1_000;

/** What contexts must have to be found. Times are ISO 8601 in UTC with milliseconds. */
export interface ContextFilters {
  readonly owner?: string;
  readonly system?: string;
  readonly tool?: string;
  readonly status: 'active' | 'deleted';
  /** Created at this time or later. */
  readonly createdAfter?: string;
  /** Created before this time. */
  readonly createdBefore?: string;
  readonly updatedAfter?: string;
  readonly updatedBefore?: string;
}

/** Who may be shown what. */
export interface Restriction {
  readonly filters: ContextFilters;
  /** The actor who asks, who sees what they are a member of; null for those who see everything. */
  readonly readableBy: string | null;
  /** The contexts that the credential is good for; null for all. */
  readonly among?: readonly string[] | null;
}

/** The filters that are tokens of the index, but for the status. */
export function filterTokens({ filters, readableBy }: Restriction): string[] {
  return [
    ...(readableBy === null ? [] : [token('reader', readableBy)]),
    ...(filters.owner === undefined ? [] : [token('owner', filters.owner)]),
    ...(filters.system === undefined ? [] : [token('system', filters.system)]),
    ...(filters.tool === undefined ? [] : [token('tool', filters.tool)]),
  ];
}

/**
 * Narrows an SQL expression for candidates down to those that pass the filters, in the index itself: a rare owner makes a
 * common word cheap.
 */
export function restrict(query: Restriction, match: string, values: Values): string {
  const filters = filterTokens(query).map((filter) => ` AND ${quote(filter)}`);
  const deleted = quote(token('status', 'deleted'));
  // Few contexts are deleted: passing over those is less work than going through all the others.
  const status = query.filters.status === 'active' ? `) NOT ${deleted}` : ` AND ${deleted})`;
  return `'(' || ${match} || ${values.add(filters.join('') + status)}`;
}

/**
 * An SQL expression for all that pass the filters. Those with the rarest token are few, and all that are active are not:
 * that one is asked for only where there is no other.
 */
export function allThatPass(query: Restriction, values: Values): string {
  const status = quote(token('status', query.filters.status));
  const filters = filterTokens(query).map(quote);
  if (filters.length === 0) return values.add(status);
  return values.add(
    query.filters.status === 'active'
      ? `${and(filters)} NOT ${quote(token('status', 'deleted'))}`
      : and([...filters, status]),
  );
}

/** All but the times as conditions on a row `c`, for where the index is not asked. */
export function rowConditions(query: Restriction, values: Values): string[] {
  return [...restConditions(query, values), ...tokenConditions(query, values)];
}

/** The filters that `filterTokens` gives, as conditions on a row `c`. */
function tokenConditions({ filters, readableBy }: Restriction, values: Values): string[] {
  const { owner, system, tool } = filters;
  const isMember = (actor: string) =>
    `EXISTS (SELECT 1 FROM json_each(c.body, '$.members') WHERE value ->> 'actor' = ${values.add(actor)})`;
  const isOwner = (actor: string) => `c.body ->> 'owner' = ${values.add(actor)}`;
  const has = (member: string, label: string) =>
    `EXISTS (SELECT 1 FROM json_each(c.body, '$.${member}') WHERE value = ${values.add(label)})`;
  return [
    ...(readableBy === null ? [] : [isMember(readableBy)]),
    ...(owner === undefined ? [] : [isOwner(owner)]),
    ...(system === undefined ? [] : [has('systems', system)]),
    ...(tool === undefined ? [] : [has('tools', tool)]),
  ];
}

/** What `rowConditions` has beside `tokenConditions`. */
export function restConditions({ filters, among }: Restriction, values: Values): string[] {
  return [`c.status = ${values.add(filters.status)}`, ...idConditions(among, values)];
}

/** The contexts that may be found at all, as a condition on a row `c`. */
export function idConditions(among: readonly string[] | null | undefined, values: Values): string[] {
  return among === null || among === undefined
    ? []
    : [`c.id IN (SELECT value FROM json_each(${values.add(JSON.stringify(among))}))`];
}

/**
 * The ranges of time, and the contexts that may be found at all, as conditions on the index and the row `c`: the times on
 * the rowid, which bounds the scan, and exactly.
 */
export function rangeConditions({ filters, among }: Restriction, values: Values): string[] {
  const { createdAfter, createdBefore, updatedBefore } = filters;
  // Nothing is changed before it is created.
  const before = [createdBefore, updatedBefore].filter((time) => time !== undefined).sort()[0];
  const end = before === undefined ? undefined : new Date(Date.parse(before) + SLACK_MS).toISOString();
  return [
    ...(createdAfter === undefined ? [] : [`contexts_fts.rowid >= ${values.integer(firstRowid(createdAfter))}`]),
    ...(end === undefined ? [] : [`contexts_fts.rowid < ${values.integer(firstRowid(end))}`]),
    ...exactTimes(filters, values),
    ...idConditions(among, values),
  ];
}

/** The ranges of time exactly, on the row `c`. */
export function exactTimes(filters: ContextFilters, values: Values): string[] {
  return whereGiven(values, [
    ['c.created_at >=', filters.createdAfter],
    ['c.created_at <', filters.createdBefore],
    ['c.updated_at >=', filters.updatedAfter],
    ['c.updated_at <', filters.updatedBefore],
  ]);
}

/** The hours of the wanted changes, which have an index. */
export function hourConditions({ updatedAfter, updatedBefore }: ContextFilters, values: Values): string[] {
  return [
    ...(updatedAfter === undefined ? [] : [`c.updated_hour >= ${values.integer(hourOf(updatedAfter))}`]),
    ...(updatedBefore === undefined ? [] : [`c.updated_hour <= ${values.integer(hourOf(updatedBefore))}`]),
  ];
}

/** Conditions of a column, an operator and a value, without those whose value was left out. */
export function whereGiven(
  values: Values,
  conditions: readonly (readonly [condition: string, value: string | undefined])[],
): string[] {
  return conditions.flatMap(([condition, value]) => (value === undefined ? [] : [`${condition} ${values.add(value)}`]));
}
