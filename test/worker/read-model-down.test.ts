import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { createContext } from '../support/api.ts';
import { configured, expectProblem } from '../support/rest.ts';

/** A database all of whose statements fail. */
const DB = new Proxy(env.DB, {
  get: () => () => {
    throw new Error('D1_ERROR: the database is locked');
  },
});

const headers = { Authorization: `Bearer ${env.BOOTSTRAP_API_KEY}` };

describe('while D1 does not answer', () => {
  it.each([
    ['a context by its ChittyID', '/v1/contexts/03-1-USA-5537-P-2602-0-38'],
    ['its history by its ChittyID', '/v1/contexts/03-1-USA-5537-P-2602-0-38/events'],
    ['the list of contexts', '/v1/contexts'],
    ['the audit trail', '/v1/audit'],
    ['the list of dead letters', '/v1/admin/dead-letters'],
    ['the list of actors', '/v1/actors'],
    ['search', '/v1/contexts/search?q=word'],
    ['the list of connections', '/v1/connections'],
    ['the list of invitations', '/v1/invitations'],
    ['the audit trail as lines', '/v1/audit', { Accept: 'application/x-ndjson' }],
    ['the feed', '/v1/events'],
    ['the feed as lines', '/v1/events', { Accept: 'application/x-ndjson' }],
    ['the feed as it goes on', '/v1/events?offset=now', { Accept: 'text/event-stream' }],
  ])('%s is 503, and says when to come back', async (_, path, more: Record<string, string> = {}) => {
    const response = await configured({ DB }, path, { headers: { ...headers, ...more } });
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThan(0);
    await expectProblem(response, 503, 'read-model-unavailable');
  });

  it('a graph is 503 as well', async () => {
    const { id } = await createContext();
    const response = await configured({ DB }, `/v1/contexts/${id}/graph`, { headers });
    await expectProblem(response, 503, 'read-model-unavailable');
  });

  it('a context is read by its own id', async () => {
    const { id } = await createContext();
    expect((await configured({ DB }, `/v1/contexts/${id}`, { headers })).status).toBe(200);
  });
});
