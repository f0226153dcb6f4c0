import { afterEach, describe, expect, it, vi } from 'vitest';
import { chittyAuthClient } from '../../src/chittyos/chitty-auth.ts';
import { chittyIdClient } from '../../src/chittyos/chitty-id.ts';
import type { ChittyOsEnv } from '../../src/chittyos/env.ts';
import { chittyOs, ServiceMemory } from '../../src/chittyos/services.ts';
import { connection, dropped, failureOf, json, network, type Reply, TOKEN, text } from './chittyos-network.ts';

/** Every form in which the token could be recognised, and half of it as well. */
const FORMS = [TOKEN, JSON.stringify(TOKEN), encodeURIComponent(TOKEN), TOKEN.slice(0, 14), btoa(TOKEN)];

/** Replies that try to bring the token back. */
const echoes: Readonly<Record<string, Reply>> = {
  'a refusal of the token': ({ headers }) =>
    Response.json({ detail: `bad ${headers.get('Authorization')}` }, { status: 401 }),
  'a refusal that quotes it': () => Response.json({ detail: `no ${TOKEN}`, token: TOKEN, [TOKEN]: 1 }, { status: 400 }),
  'a refusal that quotes it in a URL': () =>
    Response.json({ detail: `?t=${encodeURIComponent(TOKEN)}` }, { status: 400 }),
  'a refusal that quotes it where the detail is cut': () =>
    Response.json({ detail: 'x'.repeat(300 - 'The service answered 400: '.length - 14) + TOKEN }, { status: 400 }),
  'a server error': () => Response.json({ error: { message: TOKEN } }, { status: 500 }),
  'an error in spite of 200': json({ error: `token ${TOKEN} has expired` }),
  'text that is not JSON': text(`{"token": ${TOKEN}`, 'application/json'),
  'a media type': text('', `text/${TOKEN}`),
  'an error in spite of 200 that is cut': json({
    error: 'x'.repeat(300 - 'The answer is an error in spite of its status: '.length - 14) + TOKEN,
  }),
  'a broken connection': () => Promise.reject(new Error(`cannot reach https://x/?token=${TOKEN}`)),
};

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the token', () => {
  it.each(Object.keys(echoes))('is not in what is left of %s', async (name) => {
    const logged = (['log', 'info', 'warn', 'error', 'debug'] as const).map((level) => vi.spyOn(console, level));
    const { send, received } = network(echoes[name] ?? dropped);
    const here = connection(send);
    const failure = failureOf(await chittyIdClient(here).mint({ entity: 'P' }));
    expect(received[0]?.headers.get('Authorization')).toBe(`Bearer ${TOKEN}`);
    const left = JSON.stringify([failure, here.health.status, received.map(({ url, body }) => [url, body])]);
    for (const form of FORMS) expect(left).not.toContain(form);
    for (const spy of logged) expect(spy).not.toHaveBeenCalled();
  });

  it('is not in the health of the services', async () => {
    const env: ChittyOsEnv = { CHITTY_ID_SERVICE_TOKEN: TOKEN, CHITTY_DNA_TOKEN: TOKEN };
    const services = chittyOs(env, {
      fetch: network(echoes['a broken connection'] ?? dropped).send,
      memory: new ServiceMemory(),
    });
    const seen = JSON.stringify([await services.probeAll(1_000), services.status()]);
    expect(seen).toContain('[redacted]');
    for (const form of FORMS) expect(seen).not.toContain(form);
  });

  it.each(['two\nlines', 'ünicode', 'tab\there'])(
    'that no header can carry (%j) is a failure that does not show it',
    async (token) => {
      const { send, received } = network(json({}));
      const failure = failureOf(await chittyIdClient(connection(send, { token })).validate('x'));
      expect(failure.kind).toBe('configuration');
      expect(JSON.stringify(failure)).not.toContain(JSON.stringify(token).slice(1, -1));
      expect(received).toHaveLength(0);
    },
  );
});

describe('what callers entrust', () => {
  const SECRET = 'refresh-0123456789';
  const echo: Reply = ({ body }) => Response.json({ detail: `cannot take ${body}` }, { status: 400 });

  it('is not in a failure of refresh or verify', async () => {
    const auth = chittyAuthClient(connection(network(echo).send));
    for (const result of [await auth.refresh(SECRET), await auth.verify(SECRET)]) {
      expect(JSON.stringify(failureOf(result))).not.toContain(SECRET);
      expect(failureOf(result).detail).toContain('[redacted]');
    }
  });

  it('is not quoted from an answer that does not fit', async () => {
    const answer = json({ keyId: 5, key: SECRET });
    const auth = chittyAuthClient(connection(network(answer).send));
    const failure = failureOf(await auth.provisionKeys('x', { service: 's', context: 'c', scopes: [] }));
    expect(failure.kind).toBe('wrong-answer');
    expect(JSON.stringify(failure)).not.toContain(SECRET);
  });
});
