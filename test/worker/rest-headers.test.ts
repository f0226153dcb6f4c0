import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { configured, history, patch } from '../support/rest.ts';

const KEY = String(env.BOOTSTRAP_API_KEY);

describe('CORS', () => {
  const preflight = {
    method: 'OPTIONS',
    headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH' },
  };
  const corsHeaders = (response: Response) =>
    [...response.headers.keys()].filter((name) => name.startsWith('access-control-'));

  it('is off by default', async () => {
    const { id } = await createContext();
    for (const init of [preflight, { headers: { Origin: 'https://app.example' } }]) {
      expect(corsHeaders(await api(`/v1/contexts/${id}`, init))).toEqual([]);
    }
  });

  it.each([
    ['is named', 'https://other.example, https://app.example', 'https://app.example'],
    ['is any', '*', 'https://anything.example'],
  ])('lets an origin in that %s', async (_what, CORS_ORIGINS, origin) => {
    const response = await configured({ CORS_ORIGINS }, '/v1/contexts/x', {
      ...preflight,
      headers: { ...preflight.headers, Origin: origin },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get('Access-Control-Allow-Origin')).toBe(origin);
    expect(response.headers.get('Vary')).toContain('Origin');
    expect(response.headers.get('Access-Control-Allow-Methods')).toContain('PATCH');
    const allowed = (response.headers.get('Access-Control-Allow-Headers') ?? '').toLowerCase();
    for (const name of ['authorization', 'content-type', 'if-match', 'if-none-match', 'idempotency-key', 'x-api-key']) {
      expect(allowed).toContain(name);
    }
    expect(response.headers.get('Access-Control-Allow-Credentials')).toBeNull();
  });

  it.each([
    'https://evil.example',
    'http://app.example',
    'https://app.example.evil',
    'https://app.example:8443',
    'null',
    '',
  ])('keeps out the origin "%s", and says that the answer depends on it', async (origin) => {
    const response = await configured({ CORS_ORIGINS: 'https://app.example' }, '/v1/contexts/x', {
      ...preflight,
      headers: { ...preflight.headers, Origin: origin },
    });
    expect(corsHeaders(response)).toEqual([]);
    expect(response.headers.get('Vary')).toContain('Origin');
  });

  it('lets scripts read answers and problems alike, with the headers they need', async () => {
    const { id } = await createContext();
    const answers = await Promise.all(
      [`/v1/contexts/${id}`, '/v1/contexts/x', '/nowhere', '/health', `/v1/contexts/${id}/events`].map((path) =>
        configured({ CORS_ORIGINS: '*' }, path, {
          headers: { Origin: 'https://app.example', Authorization: `Bearer ${KEY}` },
        }),
      ),
    );
    const wrong = await configured({ CORS_ORIGINS: '*' }, `/v1/contexts/${id}`, {
      headers: { Origin: 'https://app.example' },
    });
    for (const response of [...answers, wrong]) {
      expect(response.headers.get('Access-Control-Allow-Origin')).toBe('https://app.example');
      expect(response.headers.get('Access-Control-Expose-Headers')).toMatch(/ETag.*Location.*X-Request-Id/);
      expect(response.headers.get('Access-Control-Expose-Headers')).toContain('Content-Location');
    }
  });
});

describe('X-Request-Id', () => {
  it.each(['my-request.1:a_b', 'x', 'k'.repeat(128)])('%s of the caller comes back', async (requestId) => {
    for (const path of ['/health', '/nowhere', '/v1/contexts/x']) {
      const response = await api(path, { headers: { 'X-Request-Id': requestId } });
      expect(response.headers.get('X-Request-Id')).toBe(requestId);
    }
  });

  it.each(['', 'k'.repeat(129), 'two words', '<script>', 'a"b', '{"a":1}', 'a,b'])(
    '"%s" is replaced by one that is harmless in logs',
    async (requestId) => {
      const response = await api('/health', { headers: { 'X-Request-Id': requestId } });
      expect(response.headers.get('X-Request-Id')).toMatch(/^[0-9A-Z]{26}$/);
    },
  );

  it('is made when there is none, another one every time, on every kind of answer', async () => {
    const { id } = await createContext();
    const answers = [
      await api('/health'),
      await api('/nowhere'),
      await api(`/v1/contexts/${id}`),
      await api(`/v1/contexts/${id}`, { headers: { 'If-None-Match': '*' } }),
      await api(`/v1/contexts/${id}`, { method: 'OPTIONS' }),
      await api(`/v1/contexts/${id}`, { method: 'PUT' }),
      await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'application/x-ndjson' } }),
      await api(`/v1/contexts/${id}`, { method: 'DELETE' }),
    ];
    const requestIds = answers.map((response) => response.headers.get('X-Request-Id'));
    expect(requestIds.every((requestId) => /^[0-9A-Z]{26}$/.test(requestId ?? ''))).toBe(true);
    expect(new Set(requestIds).size).toBe(answers.length);
  });
});

describe('traceparent', () => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  const sent = `00-${trace}-00f067aa0ba902b7-01`;

  it('is continued: the same trace, the same flags, a span of our own', async () => {
    const response = await api('/health', { headers: { traceparent: sent } });
    const [version, traceId, span, flags] = (response.headers.get('traceparent') ?? '').split('-');
    expect([version, traceId, flags]).toEqual(['00', trace, '01']);
    expect(span).toMatch(/^[0-9a-f]{16}$/);
    expect(span).not.toBe('00f067aa0ba902b7');
  });

  it('groups the events that follow from it', async () => {
    const { id } = await createContext();
    await patch(id, { name: 'x' }, { traceparent: sent, 'X-Request-Id': 'mine' });
    expect((await history(id)).at(-1)?.correlationId).toBe(trace);
  });

  it.each([
    'x',
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-00f067aa0ba902b7-01`,
    `${sent}-x`,
    `ff-${trace}-00f067aa0ba902b7-01`,
    `${sent},${sent}`,
  ])('%s is not one and is left out', async (traceparent) => {
    expect((await api('/health', { headers: { traceparent } })).headers.get('traceparent')).toBeNull();
  });

  // W3C Trace Context, section 3.2.4: a version that is not known is read as the first 55 characters of version 00.
  it('of a later version is continued as well', async () => {
    const response = await api('/health', { headers: { traceparent: `01-${trace}-00f067aa0ba902b7-01-more` } });
    expect(response.headers.get('traceparent')).toContain(trace);
  });
});
