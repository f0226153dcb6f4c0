import { createExecutionContext, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { expect } from 'vitest';
import { z } from 'zod';
import { type Envelope, envelopeSchema } from '../../events/envelope.ts';
import { handleRequest } from '../../src/http/router.ts';
import type { ContextObject } from '../../src/objects.ts';
import { api, BASE } from './api.ts';

/** Makes ids whose check digits fit, of contexts that nobody has made. */
export { derivedId } from '../../events/id.ts';

const problemSchema = z.looseObject({
  type: z.string(),
  title: z.string().min(1),
  status: z.int(),
  detail: z.string().min(1),
  instance: z.string(),
  errors: z.array(z.strictObject({ pointer: z.string(), message: z.string().min(1) })).optional(),
});

/** The body of a refused request (RFC 9457). */
export type ProblemJson = z.infer<typeof problemSchema>;

/** Checks that a response is a problem of this status and type, in the form that all of them have. */
export async function expectProblem(response: Response, status: number, code: string): Promise<ProblemJson> {
  const text = await response.text();
  expect(response.status, text).toBe(status);
  expect(response.headers.get('Content-Type')).toBe('application/problem+json');
  expect(response.headers.get('X-Request-Id')).toMatch(/^\S+$/);
  expect(text).not.toMatch(/\n\s+at |\.ts:\d|node_modules/);
  const body = problemSchema.parse(JSON.parse(text));
  expect(body).toMatchObject({ type: `https://connect.chitty.cc/problems/${code}`, status });
  return body;
}

/** Checks that a response is a 400 about exactly one thing in the input. */
export async function expectInvalid(response: Response, pointer: string, message: string): Promise<void> {
  const { errors, detail } = await expectProblem(response, 400, 'invalid');
  expect(errors).toEqual([{ pointer, message }]);
  expect(detail).toContain(message);
}

/** The whole history of a context as it is sent. */
export async function historyText(id: string): Promise<string> {
  const response = await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'application/x-ndjson' } });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  // Not text(): workerd warns that the media type does not look like text.
  return new TextDecoder().decode(await response.arrayBuffer());
}

/** The whole history of a context. */
export async function history(id: string): Promise<Envelope[]> {
  return (await historyText(id))
    .trimEnd()
    .split('\n')
    .map((line) => envelopeSchema.parse(JSON.parse(line)));
}

/** Runs `act` and checks that the context's history is byte for byte what it was. */
export async function withNothingWritten<Result>(id: string, act: () => Promise<Result>): Promise<Result> {
  const before = await historyText(id);
  const result = await act();
  expect(await historyText(id)).toBe(before);
  return result;
}

/** Runs `act` and checks that no context object came to be. */
export async function withNothingCreated<Result>(act: () => Promise<Result>): Promise<Result> {
  const before = await listDurableObjectIds(env.CONTEXTS);
  const result = await act();
  expect(await listDurableObjectIds(env.CONTEXTS)).toHaveLength(before.length);
  return result;
}

/** Sends a creation with a body of any kind. */
export function post(body: BodyInit, headers: Record<string, string> = {}): Promise<Response> {
  return api('/v1/contexts', { method: 'POST', body, headers: { 'Content-Type': 'application/json', ...headers } });
}

/** Sends a patch. */
export function patch(id: string, json: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}`, { method: 'PATCH', json, headers });
}

/** Sends a patch with a body of any kind. */
export function patchText(id: string, body: BodyInit, headers: Record<string, string> = {}): Promise<Response> {
  const mediaType = { 'Content-Type': 'application/merge-patch+json' };
  return api(`/v1/contexts/${id}`, { method: 'PATCH', body, headers: { ...mediaType, ...headers } });
}

/** Deletes a context. */
export function remove(id: string, headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}`, { method: 'DELETE', headers });
}

/** Restores a context. */
export function restore(id: string, headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}/restore`, { method: 'POST', headers });
}

/** Reads a context. @param query what follows the path, question mark included */
export function read(id: string, query = '', headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${id}${query}`, { headers });
}

/** The offset that stands after a version of a stream, counted out anew. @param id of a context, or the stream's name */
export function offset(id: string, version: number): string {
  const stream = id.includes('/') ? id : `context/${id}`;
  return `${String(version).padStart(16, '0')}_${bytesToHex(sha256(utf8ToBytes(stream))).slice(0, 8)}`;
}

/** The offset that stands after a position in the feed. */
export async function feedOffset(position: number): Promise<string> {
  const id = await env.DB.prepare('SELECT id FROM feed_identity').first<string>('id');
  return offset(`feed/${id}`, position);
}

/** The object of a context. */
export function objectOf(id: string): DurableObjectStub<ContextObject> {
  return env.CONTEXTS.get(env.CONTEXTS.idFromName(id));
}

/** A request to a Worker that is configured otherwise than the one under test. */
export function configured(variables: Partial<typeof env>, path: string, init: RequestInit = {}): Promise<Response> {
  return handleRequest(new Request(BASE + path, init), { ...env, ...variables }, createExecutionContext());
}
