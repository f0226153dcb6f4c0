import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { isRefusal } from '../../actors/decider.ts';
import type { Envelope } from '../../events/envelope.ts';
import { verifyInclusion } from '../../events/merkle.ts';
import { sha256 } from '../../events/sha256.ts';
import { answerTo, CAUSE, type Cuttable, cuttable, type Question, twinOf } from '../support/cold-world.ts';
import { CounterObject, RecordingSink } from '../support/counter.ts';
import { STORE_FATES } from '../support/memory-segments.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { printedSeed } from '../support/seed.ts';

afterEach(() => {
  CounterObject.segments.fate = 'ok';
  CounterObject.afterMs = null;
  CounterObject.stateSchema = 1;
});

/** Questions about a stream of so many events; those that can be answered, and some that cannot. */
function questions(size: number, times: readonly string[]): fc.Arbitrary<Question> {
  const version = fc.integer({ min: 1, max: size });
  const after = fc.integer({ min: 0, max: size });
  const at = fc.option(version);
  const limit = fc.constantFrom(1, 10, 300, 1_000);
  const ordered = fc.tuple(version, version).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  return fc.oneof(
    fc.record({ ask: fc.constant('page' as const), after, limit, at }),
    fc.record({ ask: fc.constant('lines' as const), after, at }),
    fc.record({ ask: fc.constant('view' as const), at: version }),
    fc.record({ ask: fc.constant('viewAt' as const), time: fc.constantFrom(...times) }),
    fc.record({ ask: fc.constant('field' as const), after, limit, at }),
    ordered.map(([from, to]): Question => ({ ask: 'inclusion', version: from, size: to })),
    ordered.map(([from, to]): Question => ({ ask: 'consistency', from, to })),
    fc.constant<Question>({ ask: 'head' }),
    fc.record({ ask: fc.constant('sink' as const), from: version }),
  );
}

let twins = 0;

/** Asks a stream and an uncut one with the same events the same, and expects the same answers. */
async function expectTwinAnswers(cut: Cuttable, count: number, seed: number): Promise<void> {
  const texts = await cut.texts();
  const twin = await twinOf(texts, `twin-${twins++}`);
  const times = texts.filter((_, index) => index % 97 === 0).map((text): string => JSON.parse(text).time);
  const asked = fc.sample(questions(texts.length, [...times, '1999-01-01T00:00:00.000Z', '2999-01-01T00:00:00.000Z']), {
    seed,
    numRuns: count,
  });
  for (const question of asked) {
    const [a, b] = [await answerTo(cut, question), await answerTo({ ...twin, stream: cut.stream }, question)];
    expect(a, JSON.stringify(question)).toEqual(b);
  }
}

describe('a history of which a part is cold', () => {
  it('reads as one of which nothing is, whatever was moved when and wherever moving it was ended', async () => {
    const seed = printedSeed('cold history');
    const step = fc.oneof(
      fc.record({ do: fc.constant('grow' as const), events: fc.constantFrom(1, 99, 255, 256, 257, 700, 1_100) }),
      fc.record({
        do: fc.constant('archive' as const),
        segments: fc.constantFrom(1, 2, 100),
        fate: fc.constantFrom(...STORE_FATES),
      }),
      fc.record({ do: fc.constant('evict' as const) }),
    );
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 9 }), async (steps) => {
        const cut = cuttable(`model-${runs++}`);
        await cut.grow(300);
        for (const each of steps) {
          if (each.do === 'grow') await cut.grow(each.events, runs);
          if (each.do === 'evict') await cut.evict();
          if (each.do !== 'archive') continue;
          Object.assign(CounterObject.segments, { fate: each.fate, stream: cut.stream });
          // What goes wrong leaves everything where it was; the object may be lost by it.
          const { failure } = await cut.archive(each.segments);
          CounterObject.segments.fate = 'ok';
          if (failure !== null) await cut.evict();
        }
        await cut.archive();
        await expectTwinAnswers(cut, 25, seed + runs);
        await cut.evict();
        await expectTwinAnswers(cut, 10, seed - runs);
      }),
      { seed, numRuns: 12 },
    );
  }, 600_000);

  it.each([
    [255, []],
    [256, []],
    [257, [[1, 256]]],
    [512, [[1, 256]]],
    [513, [[1, 512]]],
    [
      1_024,
      [
        [1, 512],
        [513, 768],
      ],
    ],
    [1_025, [[1, 1_024]]],
    [
      2_300,
      [
        [1, 1_024],
        [1_025, 2_048],
      ],
    ],
  ])(
    'of %i events these are moved when all are asked for: %j',
    async (events, expected) => {
      const cut = cuttable(`edge-${events}`);
      await cut.grow(events);
      const { moved, isComplete } = await cut.archive();
      const segments = moved.segments === 0 ? [] : await cut.segments();
      expect(segments.map(({ first, last }) => [first, last])).toEqual(expected);
      expect(isComplete).toBe(true);
      expect(await cut.hot()).toBe(events - (expected.at(-1)?.[1] ?? 0));
      await expectTwinAnswers(cut, 12, 1);
      await cut.grow(300);
      await expectTwinAnswers(cut, 12, 2);
    },
    120_000,
  );

  it('moves what is old enough by itself, a whole segment at a time, and keeps what reads need every day', async () => {
    const cut = cuttable('by-age');
    CounterObject.afterMs = 30 * 24 * 60 * 60_000;
    await cut.grow(5_000);
    await cut.evict();
    await cut.stub.flushOutbox();
    expect(cut.files()).toEqual([]);
    CounterObject.afterMs = -1;
    await cut.evict();
    await cut.stub.flushOutbox();
    // Four at an alarm; what follows the last snapshot but 1,024 events stays.
    await vi.waitFor(async () => expect((await cut.segments()).at(-1)?.last).toBe(3_072), 20_000);
    await runDurableObjectAlarm(cut.stub);
    expect(await cut.segments()).toHaveLength(3);
    await expectTwinAnswers(cut, 12, 3);
  }, 120_000);

  it('waits for every destination before it moves anything', async () => {
    const cut = cuttable('not-delivered');
    RecordingSink.failing.add(cut.stream);
    await cut.grow(600);
    expect(await cut.archive()).toMatchObject({ moved: { segments: 0 }, isComplete: true });
    RecordingSink.failing.delete(cut.stream);
    await cut.stub.flushOutbox();
    expect(await cut.archive()).toMatchObject({ moved: { segments: 1, events: 512 } });
  });

  it('makes segments smaller where events are large, down to one event', async () => {
    const cut = cuttable('large');
    await cut.stub.execute({
      id: cut.id,
      command: { type: 'addEach', amounts: Array.from({ length: 300 }, (_, n) => n + 1) },
      principal: ADMINISTRATOR,
      cause: { correlationId: 'r'.repeat(30_000), causationId: null, commandId: 'c' },
    });
    await cut.grow(300);
    await cut.archive();
    const sizes = (await cut.segments()).map(({ first, last }) => last - first + 1);
    expect(sizes).toEqual([128, 128, 256]);
    await expectTwinAnswers(cut, 20, 4);
    await cut.evict();
    await expectTwinAnswers(cut, 20, 5);
  }, 120_000);

  it('keeps as many snapshots in a segment as there is room for, and reads the past from those', async () => {
    const cut = cuttable('large-states');
    await cut.grow(1_300);
    const at = [0, 99, 100, 101, 550, 1_023, 1_024];
    const totals = async () => {
      const views = await Promise.all(at.map((version) => cut.stub.view(ADMINISTRATOR, { version })));
      return views.map((view) => (isRefusal(view) ? view.refused : JSON.parse(view.body).total));
    };
    const before = await totals();
    // As those of a stream whose state is a megabyte.
    await cut.sql("UPDATE snapshots SET state = json_set(state, '$.padding', hex(zeroblob(500000)))");
    expect(await cut.archive(1)).toMatchObject({ moved: { segments: 1, events: 1_024 }, isComplete: false });
    const [row] = await cut.sql<{ bytes: number }>('SELECT bytes FROM segments');
    expect(row?.bytes).toBeGreaterThan(2_000_000);
    expect(row?.bytes).toBeLessThan(4 * 1024 * 1024 + 1_000);
    expect(await totals()).toEqual(before);
    await cut.evict();
    expect(await totals()).toEqual(before);
  }, 120_000);

  it('rebuilds its state from segments when the form of states has changed, also a long one', async () => {
    const cut = cuttable('new-schema');
    await cut.grow(9_000);
    await cut.archive();
    CounterObject.stateSchema = 2;
    await cut.evict();
    await expectTwinAnswers(cut, 15, 6);
    // Two replays do not begin at the beginning: what was passed left snapshots behind.
    CounterObject.segments.gets = 0;
    await cut.evict();
    await cut.stub.view(ADMINISTRATOR, { version: 7_000 });
    expect(CounterObject.segments.gets).toBeLessThan(4);
    await cut.grow(2_000);
    await cut.archive();
    await expectTwinAnswers(cut, 15, 7);
  }, 120_000);

  it('keeps an object small: of 100,000 events it holds less than 4 MB', async () => {
    const cut = cuttable('hundred-thousand');
    CounterObject.afterMs = null;
    for (let grown = 0; grown < 100_000; grown += 10_000) {
      await cut.grow(10_000);
      await cut.archive();
    }
    const bytes = await runInDurableObject(cut.stub, (_object, { storage }) => storage.sql.databaseSize);
    expect(bytes).toBeLessThan(4_000_000);
    // Uncut, it is some 40 MB: the events alone are more than that.
    expect(await cut.hot()).toBeLessThan(1_000);
    const head = await cut.stub.treeHead(ADMINISTRATOR);
    expect(head).toMatchObject({ size: 100_000 });
    const proof = await cut.stub.prove(ADMINISTRATOR, { version: 54_321 });
    expect(proof).toMatchObject({ size: 100_000 });
    if (isRefusal(proof) || isRefusal(head)) throw new Error('no proof');
    const page = await cut.stub.history(ADMINISTRATOR, 54_320, 1);
    if (isRefusal(page)) throw new Error(page.detail);
    const event: Envelope = JSON.parse(page.events[0] ?? '{}');
    const [leafHash, root] = [hexToBytes(event.leafHash), hexToBytes(head.root)];
    const claim = { index: 54_320, size: 100_000, leafHash, root, proof: proof.proof.map(hexToBytes) };
    expect(verifyInclusion(claim)).toBe(true);
  }, 300_000);
});

describe('a segment that is missing or altered', () => {
  /** A stream with three segments, asleep. */
  async function damaged(
    name: string,
    damage: (files: readonly string[], cut: Cuttable) => unknown,
  ): Promise<Cuttable> {
    const cut = cuttable(name);
    await cut.grow(3_300);
    await cut.archive();
    await damage(cut.files(), cut);
    await cut.evict();
    return cut;
  }

  const { files: store } = CounterObject.segments;

  async function resealed(name: string, alter: (text: string) => string): Promise<void> {
    const file = store.get(name);
    if (!file) throw new Error(`there is no file ${name}`);
    const text = await new Response(new Blob([file]).stream().pipeThrough(new DecompressionStream('gzip'))).text();
    const stream = new Blob([alter(text)]).stream().pipeThrough(new CompressionStream('gzip'));
    store.set(name, new Uint8Array(await new Response(stream).arrayBuffer()));
  }

  /** Puts a file in the place of another. */
  function put(name: string, of: string): void {
    store.set(name, store.get(of) ?? Uint8Array.of());
  }

  const cases: readonly (readonly [string, (files: readonly string[], cut: Cuttable) => unknown])[] = [
    ['missing', (files) => store.delete(files[1] ?? '')],
    ['empty', (files) => store.set(files[1] ?? '', Uint8Array.of())],
    ['cut', (files) => store.set(files[1] ?? '', store.get(files[1] ?? '')?.slice(0, 2_000) ?? Uint8Array.of())],
    ['altered in one number', (files) => resealed(files[1] ?? '', (text) => text.replace('"amount":3', '"amount":4'))],
    ['without one event', (files) => resealed(files[1] ?? '', (text) => text.replace(/\n[^\n]*\n$/, '\n'))],
    ['longer by one event', (files) => resealed(files[1] ?? '', (text) => `${text}{}\n`)],
    ['a bomb', (files) => resealed(files[1] ?? '', (text) => text + ' '.repeat(50_000_000))],
    ['swapped with another of its stream', (files) => put(files[1] ?? '', files[0] ?? '')],
    [
      'swapped with one of another stream',
      async (files) => {
        const other = cuttable(`other-${files.length}`);
        await other.grow(3_300);
        await other.archive();
        put(files[1] ?? '', other.files()[1] ?? '');
      },
    ],
    [
      'altered together with its row',
      async (files, cut) => {
        const name = files[1] ?? '';
        await resealed(name, (text) => text.replace(/"leafHash":"0/, '"leafHash":"1'));
        const file = store.get(name) ?? Uint8Array.of();
        const stream = new Blob([file]).stream().pipeThrough(new DecompressionStream('gzip'));
        const content = new Uint8Array(await new Response(stream).arrayBuffer());
        const hash = bytesToHex(sha256(content));
        store.set(name.replace(/\.[0-9a-f]{64}\./, `.${hash}.`), file);
        await cut.sql('UPDATE segments SET sha256 = ?, bytes = ? WHERE first = 1025', hash, content.length);
      },
    ],
    ['unknown to its object', (_files, cut) => cut.sql('DELETE FROM segments WHERE first = 1025')],
    ['unknown, and all after it', (_files, cut) => cut.sql('DELETE FROM segments WHERE first > 1')],
  ];

  it.each(cases)(
    'is reported wherever it is needed, and never skipped: %s',
    async (what, damage) => {
      const cut = await damaged(`damaged-${what.replaceAll(' ', '-')}`, damage);
      const refused = { refused: 'history-damaged', unreadable: { stream: cut.stream } };
      const { stub } = cut;
      expect(await stub.history(ADMINISTRATOR, 1_000, 100)).toMatchObject(refused);
      expect(await stub.history(ADMINISTRATOR, 1_500, 100)).toMatchObject(refused);
      expect(await stub.historyStream(ADMINISTRATOR, 1_500)).toMatchObject(refused);
      expect(await stub.view(ADMINISTRATOR, { version: 1_500 })).toMatchObject(refused);
      expect(await stub.fieldHistory(ADMINISTRATOR, ['total'], 1_500, 10)).toMatchObject(refused);
      expect(await stub.prove(ADMINISTRATOR, { version: 1_500 }, 3_000)).toMatchObject(refused);
      // Who reads all of it gets what is before, and then no end that looks like one.
      const lines = await stub.historyStream(ADMINISTRATOR, 0);
      if ('refused' in lines) expect(lines).toMatchObject(refused);
      else await expect(new Response(lines.lines).text()).rejects.toThrow();
      RecordingSink.received.set(cut.stream, []);
      await stub.resend('recording', 900);
      await stub.flushOutbox();
      // The alarm may have begun with it in between.
      await vi.waitFor(async () => {
        expect((await stub.outboxCursors()).recording?.lastError).toMatch(/cannot be read/);
      });
      expect((RecordingSink.received.get(cut.stream) ?? []).every((version) => version <= 1_024)).toBe(true);
      // What has nothing to do with it goes on.
      expect(await stub.history(ADMINISTRATOR, 3_200, 100)).toMatchObject({ lastVersion: 3_300 });
      expect(await stub.view(ADMINISTRATOR)).toMatchObject({ version: 3_300 });
      await stub.execute({ id: cut.id, command: { type: 'add', amount: 1 }, principal: ADMINISTRATOR, cause: CAUSE });
      expect(await stub.view(ADMINISTRATOR)).toMatchObject({ version: 3_301 });
    },
    120_000,
  );

  it('is read again when it is back', async () => {
    const lost = new Map<string, Uint8Array>();
    const cut = await damaged('repaired', ([, name = '']) => {
      lost.set(name, store.get(name) ?? Uint8Array.of());
      store.delete(name);
    });
    expect(await cut.stub.historyStream(ADMINISTRATOR, 0)).toMatchObject({ lastVersion: 3_300 });
    expect(await cut.stub.view(ADMINISTRATOR, { version: 2_000 })).toMatchObject({ refused: 'history-damaged' });
    // Known by now, so that nobody begins a history that cannot be ended.
    expect(await cut.stub.historyStream(ADMINISTRATOR, 0)).toMatchObject({ refused: 'history-damaged' });
    for (const [name, file] of lost) store.set(name, file);
    expect(await cut.stub.historyStream(ADMINISTRATOR, 0)).toMatchObject({ lastVersion: 3_300 });
    await expectTwinAnswers(cut, 12, 8);
  }, 120_000);

  it('is told from a bucket that does not answer, which says nothing of the events', async () => {
    const cut = await damaged('out-of-reach', () => undefined);
    Object.assign(CounterObject.segments, { fate: 'get-fails', stream: cut.stream });
    expect(await cut.stub.view(ADMINISTRATOR, { version: 1_500 })).toMatchObject({ refused: 'history-unavailable' });
    expect(await cut.stub.view(ADMINISTRATOR, { version: 1_500 })).toMatchObject({ version: 1_500 });
  }, 120_000);

  it('is named by everything when the state itself cannot be told without it, until it is back', async () => {
    const lost = new Map<string, Uint8Array>();
    const cut = await damaged('stateless', ([name = '']) => {
      lost.set(name, store.get(name) ?? Uint8Array.of());
      store.delete(name);
    });
    CounterObject.stateSchema = 2;
    await cut.evict();
    expect(await cut.stub.view(ADMINISTRATOR)).toMatchObject({ refused: 'history-damaged' });
    const command = { type: 'add' as const, amount: 1 };
    const reply = await cut.stub.execute({ id: cut.id, command, principal: ADMINISTRATOR, cause: CAUSE });
    expect(reply).toMatchObject({ refused: 'history-damaged' });
    for (const [name, file] of lost) store.set(name, file);
    // Those who come later have it tried again, in an object that has never been lost.
    const ask = async () => (await cut.stub.view(ADMINISTRATOR)).version;
    await expect.poll(ask, { timeout: 20_000, interval: 1_000 }).toBe(3_300);
    expect(await cut.stub.execute({ id: cut.id, command, principal: ADMINISTRATOR, cause: CAUSE })).toMatchObject({
      version: 3_301,
      body: '{"total":13036,"isClosed":false}',
    });
  }, 120_000);
});
