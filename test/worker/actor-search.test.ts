import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { ActorRecord } from '../../actors/actor.ts';
import { derivedId } from '../../events/id.ts';
import { projectActor } from '../../projections/actors.ts';
import { type ActorJson, as, expectJson, keyHolder, registerActor } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { expectProblem } from '../support/rest.ts';

interface Page {
  readonly items: ActorJson[];
  readonly nextCursor: string | null;
  readonly highlights?: Record<string, { name: [number, number][] }>;
}

const CHITTY_ID = '03-1-USA-4242-P-2611-0-97';
let made = 0;

/** Writes an actor into the read model, later than those before. */
async function known(name: string, more: Partial<ActorRecord> = {}): Promise<string> {
  made += 1;
  const at = new Date(Date.UTC(2026, 0, 1, 0, 0, made)).toISOString();
  const id = derivedId('act', `actor search: ${made}`);
  const actor = { id, chittyId: null, kind: 'person', name, description: '', capabilities: [], status: 'active' };
  const record = { ...actor, version: 1, createdAt: at, updatedAt: at, provisioning: {}, ...more };
  await projectActor(env.DB, record as unknown as Parameters<typeof projectActor>[1]);
  return id;
}

function page(query: Record<string, string>): Promise<Page> {
  return api(`/v1/actors?${new URLSearchParams(query)}`).then((response) => expectJson<Page>(response, 200));
}

async function names(q: string, more: Record<string, string> = {}): Promise<string[]> {
  return (await page({ q, ...more })).items.map(({ name }) => name);
}

describe('a search for actors', () => {
  beforeAll(async () => {
    for (const name of [
      'Grace Brewster Hopper',
      'Grace Kelly',
      'Margaret Hamilton',
      'Hopper',
      'Hopper Bot (QA)',
      'José Saramago',
      '東京 太郎',
      '🦊 Fox',
      '100% _Done_ [x] "quoted"',
      'a*b?c',
      'Disgraceful',
    ])
      await known(name);
  });

  it.each([
    ['words in any order', 'hopper grace', ['Grace Brewster Hopper']],
    ['fragments of three characters', 'amil', ['Margaret Hamilton']],
    ['the beginning of words with fewer', 'ke', ['Grace Kelly']],
    ['short words in brackets', 'qa', ['Hopper Bot (QA)']],
    ['one letter that begins a word, and a word', 'h grace', ['Grace Brewster Hopper']],
    ['no fragment of fewer', 'rg', []],
    ['names whatever their accents', 'jose SARAMAGO', ['José Saramago']],
    ['scripts without spaces', '東京', ['東京 太郎']],
    ['emoji', '🦊', ['🦊 Fox']],
    [
      'the whole name first, then what begins with it, then what has it',
      'hopper',
      ['Hopper', 'Hopper Bot (QA)', 'Grace Brewster Hopper'],
    ],
    [
      'what has it as a word before what has it within one',
      'grace',
      ['Grace Kelly', 'Grace Brewster Hopper', 'Disgraceful'],
    ],
    ['one letter another', 'hamiltom', ['Margaret Hamilton']],
    ['one letter missing', 'hmilton', ['Margaret Hamilton']],
    ['one letter too many', 'hamillton', ['Margaret Hamilton']],
    ['two letters swapped', 'haimlton', ['Margaret Hamilton']],
    ['the two in the middle swapped', 'hamliton', ['Margaret Hamilton']],
    ['a mistyped word beside a right one', 'grace kally', ['Grace Kelly']],
    ['a percent sign', '100%', ['100% _Done_ [x] "quoted"']],
    ['no wildcard for a percent sign', 'gra%kelly', []],
    ['an underscore', '_done', ['100% _Done_ [x] "quoted"']],
    ['no wildcard for an underscore', 'ma_garet', []],
    ['a bracket', '[x', ['100% _Done_ [x] "quoted"']],
    ['an asterisk', 'a*', ['a*b?c']],
    ['no wildcard for an asterisk', 'h*', []],
    ['no operators', 'grace OR margaret', []],
    ['nothing that is nowhere', 'zzzzzz', []],
  ])('finds %s', async (_, q, found) => {
    expect(await names(q)).toEqual(found);
  });

  it('takes as many terms as fit into a text', async () => {
    const letters = Array.from({ length: 100 }, (_, index) => String.fromCodePoint(0x430 + index));
    expect(await names(letters.join(' '))).toEqual([]);
    const id = await known(letters.join(' '));
    expect((await page({ q: letters.toReversed().join(' ') })).items.map((item) => item.id)).toEqual([id]);
  });

  it('finds a whole ChittyID, but no part and none that is one letter off', async () => {
    const id = await known('Numbered Nora', { chittyId: CHITTY_ID });
    expect((await page({ q: CHITTY_ID })).items.map((item) => item.id)).toEqual([id]);
    expect(await names(CHITTY_ID.slice(0, -1))).toEqual([]);
    expect(await names(CHITTY_ID.replace('USA', 'USB'))).toEqual([]);
  });

  it('tells where the terms are', async () => {
    const { items, highlights } = await page({ q: 'sara josé', highlight: 'true' });
    expect(items.map(({ id }) => highlights?.[id])).toEqual([
      {
        name: [
          [0, 4],
          [5, 9],
        ],
      },
    ]);
    expect((await page({ q: 'sara josé' })).highlights).toBeUndefined();
    const corrected = await page({ q: 'saramego', highlight: 'true' });
    expect(Object.values(corrected.highlights ?? {})).toEqual([{ name: [[5, 13]] }]);
  });

  it('goes on after the last one, whoever is added or renamed meanwhile', async () => {
    const ids: string[] = [];
    for (const name of ['Paged', 'Paged Two', 'Unpaged One', 'Paged Three', 'Unpaged Two']) ids.push(await known(name));
    const order = [ids[0], ids[3], ids[1], ids[4], ids[2]];
    const first = await page({ q: 'paged', limit: '2' });
    await known('Paged Late');
    await known('Renamed', { id: ids[3] ?? '', version: 2 });
    const cursor = first.nextCursor ?? '';
    const second = await page({ q: 'paged', limit: '2', cursor });
    const third = await page({ q: 'paged', limit: '2', cursor: second.nextCursor ?? '' });
    expect([first, second, third].flatMap(({ items }) => items.map(({ id }) => id))).toEqual(order);
    expect(third.nextCursor).toBeNull();
    for (const other of [{ q: 'page' }, { q: 'paged', kind: 'agent' }, {}]) {
      const query = new URLSearchParams({ ...(other as Record<string, string>), cursor });
      await expectProblem(await api(`/v1/actors?${query}`), 400, 'invalid');
    }
  });

  it('goes on after the last one of a corrected text', async () => {
    for (const name of ['Quentin One', 'Quentin Two', 'Quentin Three']) await known(name);
    const first = await page({ q: 'quentim', limit: '2' });
    expect(first.items.map(({ name }) => name)).toEqual(['Quentin Three', 'Quentin Two']);
    const second = await page({ q: 'quentim', limit: '2', cursor: first.nextCursor ?? '' });
    expect(second).toMatchObject({ items: [{ name: 'Quentin One' }], nextCursor: null });
  });

  it('is narrowed by the time of creation, with or without a text', async () => {
    await known('Timed One', { createdAt: '2025-03-01T00:00:00.000Z' });
    await known('Timed Two', { createdAt: '2025-03-02T00:00:00.000Z' });
    await known('Timed Three', { createdAt: '2025-03-03T00:00:00.000Z' });
    const range = { createdAfter: '2025-03-02T01:00:00+01:00', createdBefore: '2025-03-03T00:00:00Z' };
    expect(await names('timed', range)).toEqual(['Timed Two']);
    expect((await page(range)).items.map(({ name }) => name)).toEqual(['Timed Two']);
    await expectProblem(await api('/v1/actors?createdAfter=yesterday'), 400, 'invalid');
  });

  it('shows what is between two pages of a list once, and ends with no cursor', async () => {
    const query = { createdBefore: '2025-03-04T00:00:00Z', createdAfter: '2025-03-01T00:00:00Z', limit: '1' };
    const seen: string[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { items, nextCursor }: Page = await page({ ...query, ...(cursor && { cursor }) });
      seen.push(...items.map(({ name }) => name));
      cursor = nextCursor;
    }
    expect(seen).toEqual(['Timed Three', 'Timed Two', 'Timed One']);
  });

  it('finds nobody by what only administrators may read, and no more after a change of name', async () => {
    const { id } = await registerActor({ name: 'Formerly Fiona', description: 'knows the combination' });
    const bob = await keyHolder({ name: 'Searching Sid' });
    await vi.waitFor(async () => expect(await names('fiona')).toEqual(['Formerly Fiona']));
    expect(await names('combination')).toEqual([]);
    await api(`/v1/actors/${id}`, { method: 'PATCH', json: { name: 'Lately Linda' } });
    await vi.waitFor(async () => expect(await names('linda')).toEqual(['Lately Linda']));
    expect(await names('fiona')).toEqual([]);
    const seen = await expectJson<Page>(await as(bob.key, '/v1/actors?q=linda'), 200);
    expect(seen.items).toEqual([{ id, chittyId: null, kind: 'person', name: 'Lately Linda', status: 'active' }]);
  });
});
