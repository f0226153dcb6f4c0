import { evictDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { z } from 'zod';
import { SYSTEM } from '../../actors/principal.ts';
import { contextEvents, PROVISIONING_STEPS } from '../../events/context.ts';
import { api, createContext } from '../support/api.ts';
import { CORRELATION_ID, ProvisioningWorld, SECRETS } from '../support/provisioning-world.ts';
import { expectProblem, history, objectOf, remove } from '../support/rest.ts';

/** The path of each step's request, in their order. */
const PATHS = {
  identify: '/v1/mint',
  initializeDna: '/api/initialize',
  issueApiKeys: '/api/keys/provision',
  register: '/api/services/register',
  verify: '/api/verify/context',
  certify: '/api/certify/context',
} as const;

const COMPLETE = ['context_created', ...Object.values(PROVISIONING_STEPS)];
const down = { answer: () => new Response('down', { status: 503 }) };

describe('provisioning', () => {
  let world: ProvisioningWorld;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] });
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    world = new ProvisioningWorld();
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  const failures = () =>
    world.events.flatMap((event) => (event.type === 'provisioning_step_failed' ? [event.data] : []));
  const keysOf = (path: string) => world.services.received.filter((each) => each.path === path).map(({ key }) => key);

  it('makes one step after the other, each an event with what the service gave', async () => {
    await world.create();
    expect(world.events.slice(1)).toEqual([
      {
        type: 'context_identified',
        data: { chittyId: '03-1-USA-5537-P-2602-0-38', did: 'did:chitty:03-1-USA-5537-P-2602-0-38' },
      },
      { type: 'dna_initialized', data: { dnaId: 'dna_1' } },
      { type: 'api_keys_issued', data: { keyId: 'key_1', scopes: ['contexts:read', 'contexts:write'] } },
      { type: 'context_registered', data: {} },
      { type: 'context_verified', data: { verificationId: 'ver_1', status: 'verified' } },
      { type: 'context_certified', data: { certificateId: 'cert_1' } },
    ]);
    expect(world.services.received.map(({ path }) => path)).toEqual(Object.values(PATHS));
    expect(world.state).toMatchObject({
      chittyId: '03-1-USA-5537-P-2602-0-38',
      status: 'active',
      provisioning: { status: 'complete' },
    });
  });

  it('passes the trace of the request on that the context came of, with a span for each step', async () => {
    await world.create();
    const traces = world.services.received.map(({ traceparent }) => traceparent?.split('-') ?? []);
    expect(traces.map(([, traceId]) => traceId)).toEqual(Object.values(PATHS).map(() => CORRELATION_ID));
    expect(new Set(traces.map(([, , span]) => span)).size).toBe(traces.length);
  });

  it('leaves no key material in any event', async () => {
    await world.create();
    const text = JSON.stringify(world.events);
    for (const secret of SECRETS) expect(text).not.toContain(secret);
  });

  it.each(Object.entries(PATHS))(
    'that fails at %s says why and when it goes on, and goes on from there',
    async (step, path) => {
      world.services.broken.set(path, { answer: () => new Response('no', { status: 400 }) });
      await world.create();
      const failedAt = Date.now() - 900;
      const before = world.types;
      expect(failures()).toEqual([
        { step, attempt: 1, reason: expect.stringMatching(/^\w+: .*400/), retryAt: expect.any(String) },
      ]);
      expect(world.state).toMatchObject({ status: 'active', provisioning: { status: 'failing' } });
      expect(Date.parse(failures()[0]?.retryAt ?? '') - failedAt).toBeLessThanOrEqual(1_000);
      world.services.broken.clear();
      await world.finish();
      expect(world.types.slice(before.length)).toEqual(COMPLETE.slice(before.length - 1));
    },
  );

  it('waits longer after each failure, up to a quarter of an hour, and counts them', async () => {
    world.services.broken.set(PATHS.initializeDna, { answer: () => new Response('no', { status: 400 }) });
    await world.create();
    const pauses: number[] = [];
    for (let failed = 1; failed <= 15; failed++) {
      pauses.push(Date.parse(failures().at(-1)?.retryAt ?? '') - Date.now());
      // An alarm may come earlier, to see whether the object was lost in the middle of a step.
      while (failures().length === failed) await world.nextAlarm();
    }
    expect(failures().map(({ attempt }) => attempt)).toEqual(Array.from({ length: 16 }, (_, index) => index + 1));
    const rising = pauses.slice(1);
    expect(rising).toEqual(rising.toSorted((a, b) => a - b));
    expect(Math.max(...pauses)).toBeLessThanOrEqual(15 * 60_000);
    expect(pauses.at(-1)).toBeGreaterThan(10 * 60_000);
  });

  it('is not put off until a time that only a clock which was put back has to come to', async () => {
    world.services.broken.set(PATHS.initializeDna, { answer: () => new Response('no', { status: 400 }) });
    await world.create();
    vi.setSystemTime(Date.now() - 24 * 60 * 60_000);
    await world.run();
    // Once, and then as late as after any failure.
    expect(failures()).toHaveLength(2);
    expect(Date.parse(failures()[1]?.retryAt ?? '') - Date.now()).toBeLessThan(10_000);
    world.services.broken.clear();
    await vi.advanceTimersByTimeAsync(10_000);
    await world.run();
    expect(world.state?.provisioning.status).toBe('complete');
  });

  it('waits as long as a service asks for', async () => {
    const answer = () => new Response('busy', { status: 429, headers: { 'Retry-After': '120' } });
    world.services.broken.set(PATHS.initializeDna, { answer });
    await world.create();
    expect(Date.parse(failures()[0]?.retryAt ?? '') - Date.now()).toBeGreaterThan(118_000);
  });

  it('never mints twice: answers that are lost, objects that are lost, under one key', async () => {
    world.services.faults.set(PATHS.identify, ['lose-answer', 'lose-answer', 'lose-answer', 'hang']);
    world.services.faults.set(PATHS.issueApiKeys, ['lose-answer']);
    await world.create();
    for (let round = 0; round < 2; round++) {
      world.evict();
      await world.nextAlarm();
    }
    await world.finish();
    expect(world.services.minted).toHaveLength(1);
    expect(keysOf(PATHS.identify).length).toBeGreaterThan(3);
    expect(new Set(keysOf(PATHS.identify))).toEqual(new Set(['ctx_1:identify']));
    expect(new Set(keysOf(PATHS.issueApiKeys))).toEqual(new Set(['ctx_1:issueApiKeys']));
    expect(new Set(keysOf(PATHS.certify))).toEqual(new Set(['ctx_1:certify']));
    expect(world.types.filter((type) => type === 'context_identified')).toHaveLength(1);
    expect(JSON.stringify(world.events)).not.toContain(SECRETS[0]);
  });

  it('goes on where its log ends when the object is lost at any step', async () => {
    for (const path of Object.values(PATHS)) {
      world = new ProvisioningWorld();
      world.services.faults.set(path, ['hang']);
      await world.create();
      world.evict();
      await world.finish();
      expect(world.types).toEqual(COMPLETE);
      expect(world.services.minted).toHaveLength(1);
    }
  });

  it('sets no alarm for nothing: each that fires makes a step, and none is left at the end', async () => {
    world.services.broken.set(PATHS.verify, down);
    await world.create();
    for (let alarms = 1; alarms <= 12; alarms++) {
      expect(world.alarmAt).toBe(Date.parse(failures().at(-1)?.retryAt ?? ''));
      await world.nextAlarm();
      expect(failures()).toHaveLength(alarms + 1);
    }
    world.services.broken.clear();
    await vi.advanceTimersByTimeAsync(60_000);
    await world.nextAlarm();
    expect(world.state?.provisioning.status).toBe('complete');
    expect(world.alarmAt).toBeNull();
  });

  it('is not left without an alarm when one fires while a step is under way', async () => {
    world.services.faults.set(PATHS.identify, ['hang']);
    await world.create();
    // The alarm of something else in the object.
    world.alarmAt = Date.now();
    await world.nextAlarm();
    expect(world.services.minted).toHaveLength(0);
    world.evict();
    await world.finish();
    expect(world.services.minted).toHaveLength(1);
  });

  it('stops while the context is deleted, and goes on when it is restored', async () => {
    world.services.broken.set(PATHS.register, down);
    await world.create();
    expect(world.state?.provisioning.status).toBe('failing');
    await world.execute({ type: 'delete' });
    world.services.broken.clear();
    const requests = world.services.received.length;
    vi.setSystemTime(Date.now() + 3_600_000);
    await world.run();
    expect(world.services.received).toHaveLength(requests);
    await world.execute({ type: 'restore' });
    await world.finish();
    expect(world.types.slice(-4)).toEqual([
      'context_restored',
      'context_registered',
      'context_verified',
      'context_certified',
    ]);
  });

  it('records what came of a step that was under way when the context was deleted: an id that was minted is not lost', async () => {
    const minting = Promise.withResolvers<Response>();
    const hold = { answer: () => minting.promise as never };
    world.services.faults.set(PATHS.identify, [hold]);
    await world.create();
    await world.execute({ type: 'delete' });
    minting.resolve(Response.json({ id: '03-1-USA-5537-P-2602-0-38' }));
    await vi.advanceTimersByTimeAsync(0);
    expect(world.state).toMatchObject({ status: 'deleted', chittyId: '03-1-USA-5537-P-2602-0-38' });
    expect(world.services.received).toHaveLength(1);
  });

  it('goes on at once when somebody asks for it, and counts anew', async () => {
    world.services.broken.set(PATHS.verify, { answer: () => new Response('no', { status: 400 }) });
    await world.create();
    for (let round = 0; round < 4; round++) await world.nextAlarm();
    await world.execute({ type: 'retryProvisioning' });
    expect(world.types.slice(-2)).toEqual(['provisioning_retried', 'provisioning_step_failed']);
    expect(failures().map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 1]);
    world.services.broken.clear();
    await world.execute({ type: 'retryProvisioning' });
    expect(world.state?.provisioning.status).toBe('complete');
  });

  it('goes on at once when somebody asks for it, also where the clock was put back', async () => {
    world.services.broken.set(PATHS.verify, { answer: () => new Response('no', { status: 400 }) });
    await world.create();
    // The events of this world are of the new year, so that its log is ahead of the clock.
    vi.setSystemTime(Date.UTC(2025, 11, 31, 23, 55));
    world.services.broken.clear();
    await world.execute({ type: 'retryProvisioning' });
    expect(world.state?.provisioning.status).toBe('complete');
  });

  it.each([
    ['failed', 'not to belong together'],
    ['rejected', '"rejected"'],
    ['pending', '"pending"'],
    ['VERIFIED', '"VERIFIED"'],
    ['unverified', '"unverified"'],
  ])('takes a verification that is %j for a failure, and asks again', async (status, why) => {
    world.services.broken.set(PATHS.verify, { answer: () => Response.json({ id: 'ver_0', status }) });
    await world.create();
    expect(failures()).toMatchObject([{ step: 'verify', attempt: 1, reason: expect.stringMatching(/^verify: /) }]);
    expect(failures()[0]?.reason).toContain(why);
    expect(world.types).not.toContain('context_verified');
    world.services.broken.clear();
    await world.finish();
    expect(world.state?.provisioning.status).toBe('complete');
  });

  it('registers no more capabilities than the registry takes, each once', async () => {
    const labels = Array.from({ length: 100 }, (_, index) => `system ${index}`);
    await world.create({ systems: labels, tools: ['system 7', 'a tool', ...labels.slice(10, 90)] });
    const register = world.services.received.find(({ path }) => path === PATHS.register);
    expect(JSON.parse(register?.body ?? '')).toMatchObject({ capabilities: labels });
  });

  it.each([
    ['initializeDna', PATHS.initializeDna, { id: 'd'.repeat(501) }],
    ['issueApiKeys', PATHS.issueApiKeys, { keyId: 'half of a pair: \ud83d' }],
    ['verify', PATHS.verify, { id: 'ver_1', status: 's'.repeat(101) }],
    ['certify', PATHS.certify, { id: 'sealed:v1:act_1:0123456789abcdef:AAAA' }],
    ['identify', PATHS.identify, { id: '03-1-USA-5537-P-2602-0-38', did: '' }],
  ])('takes an answer to %s that no event can hold for a failure', async (step, path, answer) => {
    world.services.broken.set(path, { answer: () => Response.json(answer) });
    await world.create();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(failures()).toMatchObject([{ step, attempt: 1, reason: expect.stringContaining('is not what') }]);
    const schemas: Readonly<Record<string, z.ZodType>> = contextEvents;
    for (const { type, data } of world.events) schemas[type]?.parse(data);
    world.services.broken.clear();
    await world.finish();
    expect(world.state?.provisioning.status).toBe('complete');
  });

  it('says why in whole characters, though a service’s words are cut', async () => {
    const detail = `${'x'.repeat(300 - 'The service answered 400: '.length - 1)}😀`;
    world.services.broken.set(PATHS.verify, { answer: () => Response.json({ detail }, { status: 400 }) });
    await world.create();
    expect(failures()).toHaveLength(1);
    expect(failures()[0]?.reason.endsWith('x\ufffd')).toBe(true);
  });

  it('makes no step again before a minute has passed when the log does not take what it reports', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => undefined);
    world.refusals = 3;
    await world.create();
    expect(world.services.received).toHaveLength(1);
    expect((world.alarmAt ?? 0) - Date.now()).toBeGreaterThan(50_000);
    await world.finish();
    expect(world.refusals).toBe(0);
    expect(world.types).toEqual(COMPLETE);
  });

  it('takes nothing that is no ChittyID for one', async () => {
    world.services.broken.set(PATHS.identify, { answer: () => Response.json({ id: '03-1-USA-5537-P-2602-0-39' }) });
    await world.create();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(failures()).toMatchObject([{ step: 'identify' }]);
    expect(world.state?.chittyId).toBeNull();
  });
});

describe('POST /v1/contexts/{id}/provisioning/retry', () => {
  const retry = (id: string) => api(`/v1/contexts/${id}/provisioning/retry`, { method: 'POST' });

  /** A context whose registration has failed. */
  async function failing(): Promise<string> {
    const { id } = await createContext();
    const cause = { correlationId: 'r', causationId: null, commandId: 'c' };
    const retryAt = '2999-01-01T00:00:00.000Z';
    const data = { step: 'identify', reason: 'id: down', attempt: 7, retryAt } as const;
    const event = { type: 'provisioning_step_failed', data } as const;
    await objectOf(id).execute({ id, command: { type: 'recordProvisioning', event }, principal: SYSTEM, cause });
    return id;
  }

  it('has the failed step tried again now, which is an event of whoever asked', async () => {
    const id = await failing();
    expect((await history(id)).map(({ type }) => type)).toEqual(['context_created', 'provisioning_step_failed']);
    await evictDurableObject(objectOf(id));
    const response = await retry(id);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      version: 3,
      provisioning: { status: 'failing', steps: { identify: { status: 'failed', attempt: 0 } } },
    });
    const [created, , retried] = await history(id);
    expect(retried).toMatchObject({ type: 'provisioning_retried', actor: created?.actor });
  });

  it('writes nothing when no step has failed', async () => {
    const { id } = await createContext();
    expect(await (await retry(id)).json()).toMatchObject({ version: 1 });
    expect(await history(id)).toHaveLength(1);
  });

  it('is refused for a deleted context and an unknown one', async () => {
    const id = await failing();
    await remove(id);
    await expectProblem(await retry(id), 409, 'deleted');
    await expectProblem(await retry('ctx_00000000000000000000000000'), 404, 'not-found');
  });
});
