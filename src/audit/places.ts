import { z } from 'zod';
import type { Problem } from '../http/problem.ts';
import type { Route } from '../http/route.ts';

/** What names who somebody is or what they may do. That one of these was tried is told also where no route takes it. */
const OF_RIGHTS = [
  'actor',
  'approvals',
  'approvedBy',
  'by',
  'capabilities',
  'chain',
  'contexts',
  'createdBy',
  'credential',
  'expiresAt',
  'isAdmin',
  'members',
  'onBehalfOf',
  'owner',
  'parent',
  'principal',
  'role',
  'roles',
  'scope',
  'scopes',
  'status',
  'subject',
];

/**
 * Where the input of a request was wrong, by names that are ours: a caller can write anything into the name of a field
 * too. Of what lies deeper the field of the body that it is in.
 *
 * @returns fields as `/role`, parameters and headers by their names; each once
 */
export function placesOf({ operation }: Route, errors: Problem['errors'] = []): string[] {
  if (errors.length === 0) return [];
  const { query, header } = operation.requestParams ?? {};
  const bodies = Object.values(operation.requestBody?.content ?? {}).map((content) => content?.schema);
  const fields = [...OF_RIGHTS, ...bodies.flatMap(namesIn)].map((name) => `/${name}`);
  const known = new Set([...fields, ...namesIn(query), ...namesIn(header)]);
  const places = errors.map(({ pointer }) => pointer.split('/').slice(0, 2).join('/'));
  return [...new Set(places)].filter((place) => known.has(place));
}

/** The names of the members that a schema has, when it is one of an object. */
export function namesIn(schema: unknown): string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}
