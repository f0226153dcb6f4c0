import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkNumber } from '../../events/chitty-id.ts';
import { projectChittyId } from '../../projections/chitty-ids.ts';
import { routes } from '../../src/http/routes.ts';
import { liftLimits } from '../support/access/world.ts';
import { contextOf, idOf, type Person, person } from '../support/sharing.ts';

const chittyId = (number: number) => {
  const fields = `03-1-USA-${String(number).padStart(4, '0')}-P-2602-0`;
  return `${fields}-${checkNumber(fields)}`;
};
const [HIDDEN, FREE] = [chittyId(8_001), chittyId(8_002)];

let eve: Person;

beforeAll(async () => {
  await liftLimits();
  eve = await person('Eve');
  await projectChittyId(env.DB, HIDDEN, idOf(await contextOf(await person('Ada'))));
}, 60_000);

/** Mistakes by which somebody could find out whether there is something to look at before they are looked at. */
const MISTAKES: readonly { query?: string; headers?: Record<string, string>; body?: string }[] = [
  {},
  { query: '?nonsense=1' },
  { query: '?at=never&limit=-1&offset=x&from=x&to=x&pointer=x&depth=99&version=x&size=x' },
  { headers: { 'If-Match': 'no tag' } },
  { headers: { Prefer: 'wait=soon' } },
  { headers: { 'Idempotency-Key': ' ' } },
  { headers: { 'Content-Type': 'text/plain' }, body: 'text' },
  { headers: { 'Content-Type': 'application/json' }, body: '{"broken' },
  { headers: { 'Content-Type': 'application/json' }, body: '{"nonsense":1}' },
];

describe('the ChittyID of a hidden context answers like one that no context has, whatever else is wrong', () => {
  it.for(
    routes
      .filter(({ path }) => path.startsWith('/v1/contexts/:id'))
      .map((route) => [`${route.method} ${route.path}`, route] as const),
  )('%s', async ([_name, { method, path }]) => {
    for (const { query = '', headers = {}, body } of MISTAKES) {
      if (method === 'GET' && body !== undefined) continue;
      const [hidden, free] = await Promise.all(
        [HIDDEN, FREE].map(async (id) => {
          const address = path.replace(':id', id).replaceAll(/:\w+\+?/g, 'x');
          const answer = await eve.call(`${address}${query}`, { method, headers, ...(body !== undefined && { body }) });
          answer.webSocket?.accept();
          return [answer.status, (await answer.text()).replaceAll(id, 'ID')];
        }),
      );
      expect([query, headers, body, hidden]).toEqual([query, headers, body, free]);
    }
  });
});
