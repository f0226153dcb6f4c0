import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { handleRequest } from '../../embedded/edge.ts';
import { SERVICE_NAMES } from '../../embedded/service-names.ts';
import { call, send, TOKEN } from './chittyos.ts';

const MIB = 1024 * 1024;

describe('who may call', () => {
  it.each([
    ['no token', ''],
    ['a wrong token', 'Bearer wrong'],
    ['a token that is longer', `Bearer ${TOKEN}x`],
    ['another scheme', `Basic ${TOKEN}`],
  ])('refuses %s everywhere with 401', async (_name, authorization) => {
    for (const url of [
      ...SERVICE_NAMES.map((service) => `https://${service}.chitty.cc/health`),
      'https://embedded.chitty.cc/faults',
      'https://nothing.chitty.cc/',
      'http://127.0.0.1:8788/id/v1/minted',
      'http://127.0.0.1:8788/faults',
    ]) {
      const response = await send(url, { headers: { Authorization: authorization } });
      expect([url, response.status]).toEqual([url, 401]);
      expect(response.headers.get('WWW-Authenticate')).toMatch(/^Bearer/);
      expect(response.headers.get('Content-Type')).toBe('application/problem+json');
      expect(await response.json()).toMatchObject({ status: 401, type: expect.stringContaining('unauthorized') });
    }
  });

  it.each([undefined, ''])('refuses everyone while its own token is %j', async (token) => {
    const { CHITTYOS_TOKEN: _, ...rest } = { ...env, CHITTYOS_TOKEN: '' };
    const request = new Request('https://id.chitty.cc/health', { headers: { Authorization: 'Bearer undefined' } });
    const response = await handleRequest(request, token === undefined ? rest : { ...rest, CHITTYOS_TOKEN: token });
    expect(response.status).toBe(401);
  });
});

describe('where a request leads', () => {
  it.each(SERVICE_NAMES)('reaches %s by its host and, on a direct socket, by a path prefix', async (service) => {
    for (const url of [`https://${service}.chitty.cc/health`, `http://127.0.0.1:8788/${service}/health`]) {
      const response = await send(url);
      expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
    }
  });

  it('keeps what it did by one way for the other', async () => {
    const minted = await send('http://127.0.0.1:8788/id/v1/mint', { json: { entity: 'P' } });
    const { id } = await minted.json<{ id: string }>();
    expect((await call('id', '/v1/validate', { json: { chittyid: id } })).body).toMatchObject({ valid: true });
  });

  it.each([
    'https://nothing.chitty.cc/health',
    'https://id.chitty.cc/id/health',
    'https://id.chitty.cc/faults',
    'https://id.chitty.cc/',
    'https://id.chitty.cc/v1/%E0%A4%A/info',
    'http://127.0.0.1:8788/',
    'http://127.0.0.1:8788/idle/health',
    'http://127.0.0.1:8788/id',
  ])('has nothing at %s', async (url) => {
    const response = await send(url);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ status: 404, instance: new URL(url).pathname });
  });

  it('says which methods an address takes', async () => {
    const response = await send('https://dna.chitty.cc/api/initialize', { method: 'DELETE' });
    expect([response.status, response.headers.get('Allow')]).toEqual([405, 'POST']);
    const list = await send('https://chronicle.chitty.cc/api/entries', { method: 'PUT' });
    expect([list.status, list.headers.get('Allow')]).toEqual([405, 'POST, GET, HEAD']);
  });

  it('answers HEAD like GET', async () => {
    expect((await send('https://id.chitty.cc/health', { method: 'HEAD' })).status).toBe(200);
  });
});

describe('what a body may be', () => {
  const validate = (body: BodyInit, headers: Record<string, string> = {}) =>
    send('https://id.chitty.cc/v1/validate', { body, headers });

  it.each([
    ['nothing', ''],
    ['half of an object', '{"chittyid":'],
    ['not UTF-8', new Uint8Array([0x22, 0xff, 0x22])],
  ])('refuses %s', async (_name, body) => {
    expect((await validate(body)).status).toBe(400);
  });

  it('refuses other media types', async () => {
    expect((await validate('{"chittyid":"x"}', { 'Content-Type': 'text/plain' })).status).toBe(415);
  });

  it('takes a media type with parameters, in any case', async () => {
    expect((await validate('{"chittyid":"x"}', { 'Content-Type': 'Application/JSON; charset=utf-8' })).status).toBe(
      200,
    );
  });

  it('refuses more than 1 MiB, also when no length is said', async () => {
    expect((await validate(JSON.stringify({ chittyid: 'x'.repeat(MIB) }))).status).toBe(413);
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(MIB / 4).fill(32)) });
    expect((await validate(endless)).status).toBe(413);
  });

  it('refuses what is nested 50,000 deep', async () => {
    const response = await validate(`{"chittyid":${'['.repeat(50_000)}${']'.repeat(50_000)}}`);
    expect(response.status).toBe(400);
  });

  it('points at every fault', async () => {
    const { body } = await call('chronicle', '/api/entries', { json: { eventType: 1, extra: true, timestamp: 'now' } });
    expect(body).toMatchObject({ status: 400 });
    expect(body.errors).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ pointer: '/eventType' }),
        expect.objectContaining({ pointer: '/entityId' }),
        expect.objectContaining({ pointer: '/timestamp' }),
        expect.objectContaining({ pointer: '/extra' }),
      ]),
    );
  });

  it('refuses an X-ChittyID that is none', async () => {
    const init = { json: { token: 'x' }, headers: { 'X-ChittyID': '03-1-USA-5537-P-2602-0-39' } };
    expect(await call('auth', '/api/verify', init)).toMatchObject({ status: 400 });
  });
});
