import { createExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { type IRequest, IttyRouter } from 'itty-router';
import { z } from 'zod';
import type { Context } from '../../actors/context.ts';
import { derivedId } from '../../events/id.ts';
import { listContexts, searchContexts } from '../../src/http/context-lists.ts';
import { openExchange } from '../../src/http/exchange.ts';
import { isProblem } from '../../src/http/problem.ts';
import { problemResponse } from '../../src/http/respond.ts';
import { BASE } from './api.ts';
import { ADMINISTRATOR } from './principals.ts';

/** When the first context of a test was made; each later one a second after the one before. */
const START_MS = Date.UTC(2026, 0, 1);

/** The state of a context as an object would hand it to its projection. `n` makes its id and its time. */
export function contextState(n: number, fields: Partial<Context> = {}): Context {
  const createdAt = new Date(START_MS + n * 1000).toISOString();
  const owner = fields.owner ?? 'act_alice';
  return {
    id: derivedId('ctx', `search ${n}`),
    chittyId: null,
    name: `Context ${n}`,
    description: '',
    owner,
    members: [{ actor: owner, role: 'owner', since: createdAt }],
    systems: [],
    tools: [],
    metadata: {},
    status: 'active',
    version: 1,
    createdAt,
    updatedAt: createdAt,
    provisioning: { status: 'pending', steps: {} },
    ...fields,
  };
}

const pageSchema = z.strictObject({
  items: z.array(z.looseObject({ id: z.string(), name: z.string() })),
  nextCursor: z.string().nullable(),
  highlights: z.record(z.string(), z.record(z.string(), z.array(z.tuple([z.int(), z.int()])))).optional(),
});

/** A page of a list or a search as clients get it. */
export type PageJson = z.infer<typeof pageSchema>;

const router = IttyRouter<IRequest, [typeof env], Response>();
for (const route of [listContexts, searchContexts]) {
  router.get(route.path, async (request, bindings) => {
    const exchange = openExchange(request, bindings, createExecutionContext());
    const answer = await route.handle({ ...exchange, principal: ADMINISTRATOR });
    return isProblem(answer) ? problemResponse(exchange, answer) : answer;
  });
}

/** Asks the two routes. @param bindings what is to be otherwise in the Worker's environment */
export function ask(
  path: string,
  parameters: Readonly<Record<string, string>> = {},
  bindings: Partial<typeof env> = {},
): Promise<Response> {
  const url = `${BASE}${path}?${new URLSearchParams(parameters)}`;
  return router.fetch(new Request(url), { ...env, ...bindings });
}

/** Asks and expects a page. */
export async function askPage(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<PageJson> {
  const response = await ask(path, parameters);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${response.status}: ${text}`);
  return pageSchema.parse(JSON.parse(text));
}

/** The names that a search gives on its first page, best first. */
export async function found(q: string, parameters: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const { items } = await askPage('/v1/contexts/search', { q, ...parameters });
  return items.map(({ name }) => name);
}

/** Goes through all pages. @param between is called after each page */
export async function allPages(
  path: string,
  parameters: Readonly<Record<string, string>>,
  between: () => Promise<unknown> = async () => undefined,
): Promise<PageJson['items']> {
  const items: PageJson['items'] = [];
  let cursor: string | null = null;
  do {
    const page: PageJson = await askPage(path, { ...parameters, ...(cursor !== null && { cursor }) });
    items.push(...page.items);
    cursor = page.nextCursor;
    await between();
  } while (cursor !== null);
  return items;
}
