import { SELF } from 'cloudflare:test';
import { beforeAll, describe, expect, it } from 'vitest';
import { ACTIONS, type Action } from '../../actors/access.ts';
import type { Route } from '../../src/http/route.ts';
import { routes } from '../../src/http/routes.ts';
import { type Cell, expectedOutcome, type Outcome, type Request, type Row, rows } from '../support/access/rows.ts';
import { CREDENTIALS, liftLimits, makeWorld, STANDINGS, type World } from '../support/access/world.ts';
import { BASE } from '../support/api.ts';
import type { ProblemJson } from '../support/rest.ts';

let world: World;

beforeAll(async () => {
  await liftLimits();
  world = await makeWorld();
}, 60_000);

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
      for (const kind of CREDENTIALS) {
        const failure = await tryCell(route, row, { route, standing, kind });
        tried += 1;
        if (failure !== null) wrong.push(failure);
      }
    }
    expect(wrong).toEqual([]);
    expect(tried).toBe(STANDINGS.length * CREDENTIALS.length);
  });
});
