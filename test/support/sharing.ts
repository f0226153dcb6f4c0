import { as, expectJson, type KeyHolder, keyHolder } from './actors.ts';
import type { ContextJson } from './api.ts';

/** Somebody with a key of their own. */
export interface Person extends KeyHolder {
  call(path: string, init?: RequestInit & { json?: unknown }): Promise<Response>;
  post(path: string, json?: unknown, headers?: Record<string, string>): Promise<Response>;
  patch(path: string, json: unknown): Promise<Response>;
  remove(path: string): Promise<Response>;
}

/** Registers somebody. @param key what their key is limited to */
export async function person(name: string, key: object = {}): Promise<Person> {
  const holder = await keyHolder({ name }, key);
  const call: Person['call'] = (path, init) => as(holder.key, path, init);
  return {
    ...holder,
    call,
    post: (path, json, headers = {}) => call(path, { method: 'POST', headers, ...(json !== undefined && { json }) }),
    patch: (path, json) => call(path, { method: 'PATCH', json }),
    remove: (path) => call(path, { method: 'DELETE' }),
  };
}

/** Creates a context that belongs to somebody. @returns its path */
export async function contextOf(owner: Person, fields: object = {}): Promise<string> {
  const { id } = await expectJson<ContextJson>(await owner.post('/v1/contexts', { name: 'Shared', ...fields }), 201);
  return `/v1/contexts/${id}`;
}

/** Invites somebody. @returns the path of the invitation */
export async function invite(owner: Person, context: string, guest: Person, role = 'editor'): Promise<string> {
  const sent = await owner.post(`${context}/invitations`, { actor: guest.id, role });
  const { id } = await expectJson<{ id: string }>(sent, 201);
  return `${context}/invitations/${id}`;
}

/** Makes somebody a member. */
export async function share(owner: Person, context: string, guest: Person, role = 'editor'): Promise<void> {
  const invitation = await invite(owner, context, guest, role);
  await expectJson(await guest.post(`${invitation}/accept`), 200);
}

/** The id in a path. */
export function idOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
