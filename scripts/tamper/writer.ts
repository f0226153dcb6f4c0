import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../fault/random.ts';
import type { Target } from './auditor.ts';

/** Seconds to wait for the log, and for a context to have its place in ChittyOS. */
const LOGGED_S = 60;
const PROVISIONED_MS = 300_000;
/** How long until ChittyOS has had every event, in milliseconds. */
const DELIVERED_MS = 300_000;

async function send({ url, apiKey }: Target, method: string, path: string, body?: object): Promise<Response> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${apiKey}`,
      ...(body && { 'Content-Type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response;
}

/** Creates a context, and waits until nothing more happens to it by itself. */
export async function create(target: Target, name: string): Promise<string> {
  const { id }: { id: string } = await (await send(target, 'POST', '/v1/contexts', { name })).json();
  for (const deadline = Date.now() + PROVISIONED_MS; ; await pause(200)) {
    const context: { provisioning: { status: string } } = await (
      await send(target, 'GET', `/v1/contexts/${id}`)
    ).json();
    if (context.provisioning.status === 'complete') return id;
    if (Date.now() > deadline) throw new Error(`${id} is not provisioned`);
  }
}

/** Changes a context so many times. */
export async function change(target: Target, id: string, times: number, random: Random): Promise<void> {
  for (let time = 0; time < times; time++) {
    const note = `words ${random.between(0, 1_000_000)}`;
    await send(target, 'PATCH', `/v1/contexts/${id}`, { metadata: { note } });
  }
}

/** Has a part of a context's history moved into a segment, as soon as every destination has had it. */
export async function archive(target: Target, id: string): Promise<void> {
  for (const deadline = Date.now() + DELIVERED_MS; ; await pause(500)) {
    const response = await send(target, 'POST', `/v1/admin/streams/context/${id}/archive`);
    const { segments }: { segments: number } = await response.json();
    if (segments > 0) return;
    if (Date.now() > deadline) throw new Error(`nothing of ${id} could be moved`);
  }
}

/** Waits until the log vouches for all that has happened to these contexts. */
export async function whenLogged(target: Target, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const response = await send(target, 'GET', `/v1/contexts/${id}/bundle?wait=${LOGGED_S}`);
    await response.body?.cancel();
    if (response.headers.get('Stream-Up-To-Date') !== 'true') throw new Error(`${id} is not logged in ${LOGGED_S} s`);
  }
}
