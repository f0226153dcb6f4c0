import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import type { ConnectionObject } from '../../src/objects.ts';
import { expectJson } from './actors.ts';
import { contextOf, idOf, type Person, share } from './sharing.ts';

/** A connection as the API gives it. */
export interface ConnectionJson {
  id: string;
  from: string;
  to: string;
  status: string;
  version: number;
  [member: string]: unknown;
}

/** Asks for a connection. @param from, to the paths of the contexts */
export function ask(by: Person, from: string, to: string, fields: object = {}): Promise<Response> {
  const json = { from: idOf(from), to: idOf(to), type: 'depends_on', ...fields };
  return by.post('/v1/connections', json, { Prefer: 'wait=10' });
}

/** Connects two contexts. @returns the path of the connection, when lists show it */
export async function connectContexts(by: Person, from: string, to: string, fields: object = {}): Promise<string> {
  const { id } = await expectJson<ConnectionJson>(await ask(by, from, to, fields), 201);
  return `/v1/connections/${id}`;
}

/** A context of one person and one of another, which the first may read. */
export async function twoEnds(ann: Person, bob: Person): Promise<{ mine: string; theirs: string }> {
  const [mine, theirs] = await Promise.all([contextOf(ann, { name: 'Mine' }), contextOf(bob, { name: 'Theirs' })]);
  await share(bob, theirs, ann, 'viewer');
  return { mine, theirs };
}

/** Reads a connection that can be read. */
export async function readConnection(by: Person, path: string): Promise<ConnectionJson> {
  return expectJson(await by.call(path), 200);
}

/** The object of a connection. */
export function connectionObject(path: string): DurableObjectStub<ConnectionObject> {
  return env.CONNECTIONS.get(env.CONNECTIONS.idFromName(idOf(path)));
}

/** The types of a connection's events. */
export function eventTypes(path: string): Promise<string[]> {
  return runInDurableObject(connectionObject(path), (_object, { storage }) =>
    storage.sql
      .exec<{ type: string }>('SELECT type FROM events ORDER BY version')
      .toArray()
      .map(({ type }) => type),
  );
}
