import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contextDecider } from '../../actors/context.ts';
import { recorded } from '../../actors/decider.ts';
import type { ContextEvent } from '../../events/context.ts';
import { type Envelope, isIntact } from '../../events/envelope.ts';
import { api, createContext } from '../support/api.ts';
import { printedSeed } from '../support/seed.ts';

/** What the reference model knows of a context: plain values, no events. */
interface Model {
  name: string;
  tools: string[];
  metadata: Record<string, number>;
  deleted: boolean;
  version: number;
  /** What each version looked like: the model's own history. */
  past: { name: string; tools: string[]; metadata: Record<string, number>; deleted: boolean }[];
  /** The answers given to idempotency keys. */
  answers: Map<string, { what: string; status: number; version: number }>;
}

interface Real {
  id: string;
}

const name = fc.constantFrom('Alpha', 'Beta', 'Größe 😀');
const tools = fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { maxLength: 3 });
const metadata = fc.dictionary(fc.constantFrom('x', 'y'), fc.option(fc.integer({ min: 0, max: 2 })), { maxKeys: 2 });
const patch = fc.record({ name, tools, metadata }, { requiredKeys: [] });

/** A command of the test: what it asks, and under which conditions. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('patch' as const),
      patch,
      stale: fc.boolean(),
      conditional: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restore' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('keyed' as const), patch, key: fc.constantFrom('k1', 'k2', 'k3') }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('evict' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('travel' as const), back: fc.nat(5) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('revert' as const),
      back: fc.nat(5),
      fields: fc.option(fc.subarray(['name' as const, 'tools' as const, 'metadata' as const], { minLength: 1 })),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

function remember(model: Model): void {
  model.version += 1;
  model.past.push(
    structuredClone({ name: model.name, tools: model.tools, metadata: model.metadata, deleted: model.deleted }),
  );
}

/** Applies a patch to the model. @returns the status that the API should answer */
function applyPatch(
  model: Model,
  change: { name?: string; tools?: string[]; metadata?: Record<string, number | null> },
): number {
  if (model.deleted) return 409;
  const before = JSON.stringify([model.name, model.tools, Object.entries(model.metadata).sort()]);
  if (change.name !== undefined) model.name = change.name;
  if (change.tools !== undefined) model.tools = change.tools;
  for (const [key, value] of Object.entries(change.metadata ?? {})) {
    if (value === null) delete model.metadata[key];
    else model.metadata[key] = value;
  }
  if (JSON.stringify([model.name, model.tools, Object.entries(model.metadata).sort()]) !== before) remember(model);
  return 200;
}

/** Brings the model's fields back. @returns the status that the API should answer */
function applyRevert(model: Model, version: number, fields: readonly ('name' | 'tools' | 'metadata')[]): number {
  const then = model.past[version - 1];
  if (model.deleted || !then) return 409;
  const before = JSON.stringify([model.name, model.tools, Object.entries(model.metadata).sort()]);
  for (const field of fields) Object.assign(model, { [field]: structuredClone(then[field]) });
  if (JSON.stringify([model.name, model.tools, Object.entries(model.metadata).sort()]) !== before) remember(model);
  return 200;
}

async function sendPatch(real: Real, json: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return api(`/v1/contexts/${real.id}`, { method: 'PATCH', json, headers });
}

async function run(step: Step, model: Model, real: Real): Promise<void> {
  switch (step.kind) {
    case 'patch': {
      const version = step.stale ? model.version + 1 : model.version;
      const refused = step.conditional && step.stale;
      const headers: Record<string, string> = step.conditional ? { 'If-Match': `"${version}"` } : {};
      const expected = refused ? 412 : applyPatch(model, step.patch);
      const response = await sendPatch(real, step.patch, headers);
      expect(response.status).toBe(expected);
      expect(response.headers.get('ETag')).toBe(`"${model.version}"`);
      return;
    }
    case 'keyed': {
      const what = JSON.stringify(step.patch);
      const answer = model.answers.get(step.key);
      const response = await sendPatch(real, step.patch, { 'Idempotency-Key': step.key });
      if (answer) {
        expect(response.status).toBe(answer.what === what ? answer.status : 422);
        if (answer.what === what) expect(response.headers.get('ETag')).toBe(`"${answer.version}"`);
        return;
      }
      const status = applyPatch(model, step.patch);
      expect(response.status).toBe(status);
      if (status === 200) model.answers.set(step.key, { what, status, version: model.version });
      return;
    }
    case 'delete': {
      const expected = model.deleted ? 409 : 204;
      if (!model.deleted) {
        model.deleted = true;
        remember(model);
      }
      expect((await api(`/v1/contexts/${real.id}`, { method: 'DELETE' })).status).toBe(expected);
      return;
    }
    case 'restore': {
      const expected = model.deleted ? 200 : 409;
      if (model.deleted) {
        model.deleted = false;
        remember(model);
      }
      expect((await api(`/v1/contexts/${real.id}/restore`, { method: 'POST' })).status).toBe(expected);
      return;
    }
    case 'evict':
      // Only an object that is awake can be evicted.
      await api(`/v1/contexts/${real.id}`);
      await evictDurableObject(env.CONTEXTS.get(env.CONTEXTS.idFromName(real.id)));
      return;
    case 'revert': {
      const to = Math.max(1, model.version - step.back);
      const expected = applyRevert(model, to, step.fields ?? ['name', 'tools', 'metadata']);
      const json = { to, ...(step.fields && { fields: step.fields }) };
      const response = await api(`/v1/contexts/${real.id}/revert`, { method: 'POST', json });
      expect(response.status).toBe(expected);
      expect(response.headers.get('ETag')).toBe(`"${model.version}"`);
      return;
    }
    case 'travel': {
      const version = Math.max(1, model.version - step.back);
      const past = model.past[version - 1];
      const response = await api(`/v1/contexts/${real.id}?at=${version}`);
      expect(response.status).toBe(past?.deleted ? 410 : 200);
      if (!past?.deleted) {
        expect(await response.json()).toMatchObject({
          name: past?.name,
          tools: past?.tools,
          metadata: past?.metadata,
          version,
        });
      }
    }
  }
}

/** The history of a context as the API gives it. */
async function history(id: string): Promise<Envelope[]> {
  const response = await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'application/x-ndjson' } });
  const text = new TextDecoder().decode(await response.arrayBuffer());
  return text
    .trim()
    .split('\n')
    .map((line): Envelope => JSON.parse(line));
}

describe('a context', () => {
  it('behaves as the reference model under any commands, conditions, repetitions and evictions', {
    timeout: 180_000,
  }, async () => {
    const seed = printedSeed('context model');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
        const created = await createContext({ name: 'Alpha' });
        const model: Model = {
          name: 'Alpha',
          tools: [],
          metadata: {},
          deleted: false,
          version: 0,
          past: [],
          answers: new Map(),
        };
        remember(model);
        const real = { id: created.id };
        for (const next of steps) await run(next, model, real);

        const events = await history(real.id);
        expect(events.map((event) => event.version)).toEqual(model.past.map((_, index) => index + 1));
        expect(events.every(isIntact)).toBe(true);
        const replayed = events.map((event) => recorded<ContextEvent>(event)).reduce(contextDecider.evolve, null);
        const response = await api(`/v1/contexts/${real.id}`);
        expect(response.status).toBe(model.deleted ? 410 : 200);
        if (!model.deleted) expect(await response.json()).toEqual(replayed);
        expect(replayed).toMatchObject({
          name: model.name,
          tools: model.tools,
          metadata: model.metadata,
          version: model.version,
        });
      }),
      { seed, numRuns: 60 },
    );
  });
});
