import { env } from 'cloudflare:workers';
import { as, keyHolder } from './actors.ts';
import { api } from './api.ts';
import { configured, derivedId } from './rest.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

const feed = '/v1/events';

async function withoutScope(): Promise<Response> {
  const { key } = await keyHolder({}, { scopes: ['actors:read'] });
  return as(key, feed);
}

/** A request to a Worker whose database is out of order. */
function withoutFeed(): Promise<Response> {
  const prepare = () => {
    throw new Error('D1_ERROR: this database is out of order');
  };
  const DB = new Proxy(env.DB, { get: () => prepare });
  return configured({ DB }, feed, { headers: { 'X-API-Key': String(env.BOOTSTRAP_API_KEY) } });
}

/** The cases of the feed. */
export const feedCases: Case[] = [
  ['readFeed', 200, () => api(feed)],
  ['readFeed', 400, () => api(`${feed}?limit=0`)],
  ['readFeed', 401, () => api(feed, { headers: { 'X-API-Key': 'wrong' } })],
  ['readFeed', 403, () => withoutScope()],
  ['readFeed', 404, () => api(`${feed}?context=${derivedId('ctx', 'openapi: nobody')}x`)],
  ['readFeed', 406, () => api(feed, { headers: { Accept: 'text/html' } })],
  ['readFeed', 503, () => withoutFeed()],
];
