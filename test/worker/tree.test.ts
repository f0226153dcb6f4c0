import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { hexToBytes } from '@noble/hashes/utils.js';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { isRefusal } from '../../actors/decider.ts';
import type { Envelope } from '../../events/envelope.ts';
import { verifyConsistency, verifyInclusion } from '../../events/merkle.ts';
import { api, createContext } from '../support/api.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { derivedId, expectProblem, history, objectOf, patch } from '../support/rest.ts';
import { printedSeed } from '../support/seed.ts';

interface ProofJson {
  stream: string;
  size: number;
  root: string;
  proof: string[];
}

async function prove(id: string, query: string): Promise<ProofJson> {
  const response = await api(`/v1/contexts/${id}/proof?${query}`);
  expect(response.status, await response.clone().text()).toBe(200);
  return response.json();
}

/** Makes a context with so many events. */
async function contextOf(events: number): Promise<string> {
  const { id } = await createContext();
  const stub = objectOf(id);
  const cause = { correlationId: 'r', causationId: null, commandId: 'c' };
  for (let from = 2; from <= events; from += 100) {
    const versions = Array.from({ length: Math.min(100, events - from + 1) }, (_, n) => from + n);
    await Promise.all(
      versions.map((version) =>
        stub.execute({
          id,
          command: { type: 'update', data: { name: `Name ${version}` } },
          principal: ADMINISTRATOR,
          cause,
        }),
      ),
    );
  }
  return id;
}

const bytes = (hashes: readonly string[]) => hashes.map((hash) => hexToBytes(hash));

function isIncluded({ size, root, proof }: ProofJson, event: Envelope | undefined): boolean {
  if (!event) throw new Error('there is no such event');
  const [leafHash, rootBytes] = [hexToBytes(event.leafHash), hexToBytes(root)];
  return verifyInclusion({ index: event.version - 1, size, leafHash, root: rootBytes, proof: bytes(proof) });
}

describe('the tree of a stream', () => {
  it('proves each event of a short history, and no other in its place', async () => {
    const { id } = await createContext();
    for (let n = 0; n < 4; n++) await patch(id, { name: `Name ${n}` });
    const events = await history(id);
    for (const event of events) {
      const proved = await prove(id, `version=${event.version}`);
      expect(proved).toMatchObject({ stream: `context/${id}`, size: 5 });
      expect(isIncluded(proved, event)).toBe(true);
      expect(isIncluded(proved, events[event.version % 5])).toBe(false);
    }
  });

  it('proves every event in every earlier tree, and every tree from every earlier one, past full tiles and after a wake', async () => {
    const last = 600;
    const id = await contextOf(last);
    const events = await history(id);
    expect(events).toHaveLength(last);
    const sizes = fc.tuple(fc.integer({ min: 1, max: last }), fc.integer({ min: 1, max: last }));
    await fc.assert(
      fc.asyncProperty(sizes, async ([a, b]) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const included = await prove(id, `version=${from}&size=${to}`);
        expect(isIncluded(included, events[from - 1])).toBe(true);
        const [earlier, later] = [await prove(id, `version=1&size=${from}`), await prove(id, `from=${from}&to=${to}`)];
        expect(later.root).toBe(included.root);
        const [fromRoot, toRoot] = [hexToBytes(earlier.root), hexToBytes(later.root)];
        expect(verifyConsistency({ from, to, fromRoot, toRoot, proof: bytes(later.proof) })).toBe(true);
      }),
      { seed: printedSeed('the tree of a stream'), numRuns: 60 },
    );
    const before = await objectOf(id).treeHead(ADMINISTRATOR);
    await evictDurableObject(objectOf(id));
    expect(await objectOf(id).treeHead(ADMINISTRATOR)).toEqual(before);
    await patch(id, { name: 'One more' });
    const after = await objectOf(id).treeHead(ADMINISTRATOR);
    if (isRefusal(after)) throw new Error(after.detail);
    expect(after).toEqual({ size: last + 1, root: (await prove(id, 'version=1')).root });
  }, 60_000);

  it('writes two rows for 256 events, and is made up for in a log from before there were trees', async () => {
    const id = await contextOf(520);
    const tiles = () =>
      runInDurableObject(objectOf(id), (_object, { storage }) =>
        storage.sql
          .exec<{ level: number; idx: number; bytes: number }>('SELECT level, idx, length(hashes) AS bytes FROM tiles')
          .toArray()
          .map(({ level, idx, bytes: length }) => [level, idx, length / 32]),
      );
    const expected = [
      [0, 0, 256],
      [0, 1, 256],
      [1, 0, 2],
    ];
    expect(await tiles()).toEqual(expected);
    const proved = await prove(id, 'version=3');
    // A drain holds a cursor while it is in the middle of the log, and no table can go then: none is left to come.
    await vi.waitFor(async () => expect(await objectOf(id).flushOutbox()).toBe(true));
    await evictDurableObject(objectOf(id));
    await runInDurableObject(objectOf(id), (_object, { storage }) => storage.sql.exec('DROP TABLE tiles'));
    await evictDurableObject(objectOf(id));
    expect(await prove(id, 'version=3')).toEqual(proved);
    expect(await tiles()).toEqual(expected);
  }, 30_000);
});

describe('a proof that cannot be had', () => {
  it.each([
    ['of nothing', '', 400, 'invalid'],
    ['of two things', 'version=1&from=1', 400, 'invalid'],
    ['of an event in a range', 'version=1&to=2', 400, 'invalid'],
    ['of a size from another', 'from=1&size=2', 400, 'invalid'],
    ['of version 0', 'version=0', 400, 'invalid'],
    ['of a negative version', 'version=-1', 400, 'invalid'],
    ['of half a version', 'version=1.5', 400, 'invalid'],
    ['of a version past all numbers', 'version=99999999999999999999', 400, 'invalid'],
    ['of a version that is not there', 'version=3', 400, 'ahead-of-stream'],
    ['in a tree that is not there', 'version=1&size=3', 400, 'ahead-of-stream'],
    ['of a version outside of the tree', 'version=2&size=1', 400, 'ahead-of-stream'],
    ['from a larger tree', 'from=2&to=1', 400, 'ahead-of-stream'],
    ['from a tree that is not there', 'from=9007199254740991', 400, 'ahead-of-stream'],
  ])('%s is refused', async (_, query, status, code) => {
    const { id } = await createContext();
    await patch(id, { name: 'Two' });
    await expectProblem(await api(`/v1/contexts/${id}/proof?${query}`), status, code);
  });

  it('of a context that is not there is 404', async () => {
    await expectProblem(await api(`/v1/contexts/${derivedId('ctx', 'no tree')}/proof?version=1`), 404, 'not-found');
  });

  it('stands beside the offset where a history is read to its end', async () => {
    const { id } = await createContext();
    for (let n = 0; n < 2; n++) await patch(id, { name: `Name ${n}` });
    const { root } = await prove(id, 'version=1');
    const headOf = async (query: string, accept: string) => {
      const response = await api(`/v1/contexts/${id}/events${query}`, { headers: { Accept: accept } });
      await response.arrayBuffer();
      return response.headers.get('X-Tree-Head');
    };
    expect(await headOf('', 'application/json')).toBe(`3 ${root}`);
    expect(await headOf('?limit=2', 'application/json')).toBeNull();
    expect(await headOf('', 'application/x-ndjson')).toBe(`3 ${root}`);
    const earlier = await prove(id, 'version=1&size=2');
    expect(await headOf('?at=2', 'application/x-ndjson')).toBe(`2 ${earlier.root}`);
  });
});

describe('the head of the tree', () => {
  const read = async (id: string, init: { headers?: Record<string, string> } = {}, query = '') => {
    const response = await api(`/v1/contexts/${id}${query}`, init);
    await response.arrayBuffer();
    const { status, headers } = response;
    return { status, etag: headers.get('ETag'), head: headers.get('X-Tree-Head') };
  };

  it('stands beside the ETag of a context, and is what is proved', async () => {
    const { id } = await createContext();
    const { root: first } = await prove(id, 'version=1');
    expect(await read(id)).toEqual({ status: 200, etag: '"1"', head: `1 ${first}` });
    await patch(id, { name: 'Two' });
    const { root } = await prove(id, 'version=2');
    const head = `2 ${root}`;
    expect(await read(id)).toEqual({ status: 200, etag: '"2"', head });
    expect(await read(id, { headers: { 'If-None-Match': '"2"' } })).toEqual({ status: 304, etag: '"2"', head });
    // Also of what the object reads from its log.
    await evictDurableObject(objectOf(id));
    expect(await read(id)).toEqual({ status: 200, etag: '"2"', head });
    // Of the past it is asked for with its size.
    expect(await read(id, {}, '?at=1')).toEqual({ status: 200, etag: '"1"', head: null });
  });

  it('stands beside the tombstone of a deleted one', async () => {
    const { id } = await createContext();
    await api(`/v1/contexts/${id}`, { method: 'DELETE' });
    const { root } = await prove(id, 'version=2');
    expect(await read(id)).toEqual({ status: 410, etag: '"2"', head: `2 ${root}` });
  });

  it('goes on from the one that a reader had, however many events come after', async () => {
    const id = await contextOf(300);
    const [size, root] = (await read(id)).head?.split(' ') ?? [];
    for (let n = 0; n < 3; n++) await patch(id, { name: `After ${n}` });
    const { proof, ...next } = await prove(id, `from=${size}`);
    expect((await read(id)).head).toBe(`${next.size} ${next.root}`);
    const [fromRoot, toRoot] = [hexToBytes(root ?? ''), hexToBytes(next.root)];
    const claim = { from: Number(size), to: next.size, fromRoot, toRoot, proof: bytes(proof) };
    expect(verifyConsistency(claim)).toBe(true);
    expect(verifyConsistency({ ...claim, fromRoot: toRoot })).toBe(false);
  });
});

describe('a log that was damaged', () => {
  it('can be read all the same, so that what is wrong with it shows', async () => {
    const id = await contextOf(5);
    await runInDurableObject(objectOf(id), (_object, { storage }) =>
      storage.sql.exec('DELETE FROM events WHERE version = 3'),
    );
    await evictDurableObject(objectOf(id));
    const lines = await api(`/v1/contexts/${id}/events`, { headers: { Accept: 'application/x-ndjson' } });
    expect(lines.status).toBe(200);
    expect(lines.headers.has('X-Tree-Head')).toBe(false);
    const versions = (await lines.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).version);
    expect(versions).not.toContain(3);
    expect(versions).toContain(5);
    expect((await api(`/v1/contexts/${id}/events`)).status).toBe(200);
  });
});
