import { expectJson } from './actors.ts';
import { idOf, type Person } from './sharing.ts';

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
