import { SELF } from 'cloudflare:test';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ACTIONS, type Action } from '../../actors/access.ts';
import type { Route } from '../../src/http/route.ts';
import { routes } from '../../src/http/routes.ts';
import { credentialsOf, STANDINGS, type Standing } from '../support/access/credentials.ts';
import { type Cell, expectedOutcome, type Outcome, type Request, type Row, rows } from '../support/access/rows.ts';
import { liftLimits, makeWorld, type World } from '../support/access/world.ts';
import { expectJson } from '../support/actors.ts';
import { BASE } from '../support/api.ts';
import type { ProblemJson } from '../support/rest.ts';

let world: World;

beforeAll(async () => {
  await liftLimits();
  world = await makeWorld();
}, 120_000);

afterEach(() => {
  vi.useRealTimers();
});

/** What a route asks of a credential; null for what is for everybody. */
function actionOf(route: Route): Action | null {
  if (route.access === 'public') return null;
  return route.access === 'self-authenticating' ? route.action : route.access;
}

function send(route: Route, { path = {}, query = '', json, form, headers }: Request, credential: HeadersInit) {
  const filled = route.path.replaceAll(/:(\w+)\+?/g, (_, name: string) => {
    const value = path[name];
    if (value === undefined) throw new Error(`the row gives no ${name}`);
    return value;
  });
  const body = form ? new URLSearchParams(form) : JSON.stringify(json);
  return SELF.fetch(BASE + filled + query, {
    method: route.method,
    headers: {
      ...(json && { 'Content-Type': 'application/json' }),
      ...headers,
      ...Object.fromEntries(new Headers(credential)),
    },
    ...(body !== undefined && { body }),
  });
}

async function outcomeOf(response: Response, { hidden }: Row): Promise<Outcome> {
  if (response.webSocket) return outcomeOfSocket(response.webSocket);
  expect(response.status).toBeLessThan(500);
  if (![401, 403, 404].includes(response.status)) {
    await response.body?.cancel();
    return 'through';
  }
  const { type, detail }: ProblemJson = await response.json();
  if (response.status === 401) return 'unauthorized';
  if (response.status === 404) return hidden !== undefined && detail.startsWith(hidden) ? 'hidden' : 'through';
  return type.endsWith('/insufficient-scope') ? 'insufficient-scope' : 'forbidden';
}

/** A socket says by its first frame, or by the code that it is closed with, what a status would say. */
async function outcomeOfSocket(socket: WebSocket): Promise<Outcome> {
  const ended = await new Promise<CloseEvent | null>((resolve) => {
    socket.addEventListener('message', () => resolve(null));
    socket.addEventListener('close', resolve);
    socket.accept();
  });
  socket.close();
  if (ended === null) return 'through';
  if (ended.code === 4403) return ended.reason.includes('scope') ? 'insufficient-scope' : 'forbidden';
  return ended.code === 4401 ? 'unauthorized' : 'hidden';
}

async function tryCell(route: Route, row: Row, cell: Omit<Cell, 'principal'>): Promise<string | null> {
  const action = actionOf(route);
  const caller = world.person(cell.standing);
  const { headers, principal } = await caller.present(cell.kind, action && ACTIONS[action].scope);
  const whole: Cell = { ...cell, principal };
  const expected = expectedOutcome(world, row, whole, action);
  const request = (await row.request?.(world, whole, expected === 'through')) ?? {};
  const found = await outcomeOf(await send(route, request, headers), row);
  if (row.endsSessionsOf && expected === 'through') {
    (row.endsSessionsOf === 'caller' ? caller : world.person(row.endsSessionsOf)).forgetSessions();
  }
  return found === expected ? null : `${cell.standing}, ${cell.kind}: ${found} instead of ${expected}`;
}

const named = routes.map((route) => [route.operation.operationId ?? '', route] as const);

describe('the table of who may do what', () => {
  it('has a row for every route, and no other', () => {
    expect(Object.keys(rows).sort()).toEqual(named.map(([name]) => name).sort());
  });

  it.for(named)('%s', { timeout: 60_000 }, async ([name, route]) => {
    const row = rows[name];
    if (!row)
      throw new Error(`${name} has no row in test/support/access/rows.ts: say who may do it, and how it is asked`);
    const wrong: string[] = [];
    let tried = 0;
    for (const standing of STANDINGS) {
      for (const kind of credentialsOf(standing)) {
        const failure = await tryCell(route, row, { route, standing, kind });
        tried += 1;
        if (failure !== null) wrong.push(failure);
      }
    }
    expect(wrong).toEqual([]);
    expect(tried).toBe(STANDINGS.flatMap(credentialsOf).length);
  });
});

describe('a ticket for the context', () => {
  const about = named.filter(([, { path }]) => path.startsWith('/v1/contexts/:id'));
  const TAKING = ['watchContext', 'readHistory'];

  /** A ticket of somebody; null when they are given none. */
  async function ticketOf(standing: Standing): Promise<string | null> {
    const { headers } = await world.person(standing).present('a key with all scopes', null);
    const response = await SELF.fetch(`${BASE}/v1/contexts/${world.context}/tickets`, { method: 'POST', headers });
    if (response.status === 201) return (await expectJson<{ ticket: string }>(response, 201)).ticket;
    expect(response.status).toBeOneOf([403, 404]);
    return null;
  }

  /** What a ticket opens of a route, without anything else to show. */
  async function outcomeWith(ticket: string, [name, route]: (typeof about)[number]): Promise<Outcome> {
    const row = rows[name] ?? {};
    const request =
      (await row.request?.(world, { route, standing: 'owner', kind: 'none', principal: null }, false)) ?? {};
    const query = `${request.query ? `${request.query}&` : '?'}ticket=${ticket}`;
    return outcomeOf(await send(route, { ...request, query }, {}), row);
  }

  it.for(STANDINGS)('of %s lets them in once, if they may watch it', async (standing) => {
    const may = !['invited', 'stranger', 'the actor'].includes(standing);
    for (const each of about.filter(([name]) => TAKING.includes(name))) {
      const ticket = await ticketOf(standing);
      expect(ticket !== null).toBe(may);
      if (ticket === null) continue;
      expect(await outcomeWith(ticket, each)).toBe('through');
      expect(await outcomeWith(ticket, each)).toBe('unauthorized');
    }
  });

  it('opens no other route', async () => {
    // It is good for half a minute, and the other routes are many.
    vi.useFakeTimers({ toFake: ['Date'] });
    const ticket = (await ticketOf('owner')) ?? '';
    for (const each of about.filter(([name]) => !TAKING.includes(name))) {
      expect([each[0], await outcomeWith(ticket, each)]).toEqual([each[0], 'unauthorized']);
    }
    const watching = about.filter(([name]) => name === 'watchContext');
    for (const each of watching) expect(await outcomeWith(ticket, each)).toBe('through');
  });
});
