import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { sealEvent } from '../../events/envelope.ts';
import { appendLeaf, EMPTY_FRONTIER, type Frontier } from '../../events/merkle.ts';
import { consistencyProof, inclusionProof, TILE_WIDTH, type TileName } from '../../events/proof.ts';
import { sha256 } from '../../events/sha256.ts';
import { growTiles } from '../../events/tiles.ts';
import { unfaulted } from '../../test/support/unfaulted.ts';
import { CHANGE_HEADERS, change, createContexts } from '../contexts.ts';
import { cpuUs } from '../cpu.ts';
import { CONNECTIONS, load, quantile } from '../load.ts';
import { figure, verdict } from '../report.ts';
import type { RunOptions, Section } from '../section.ts';
import { type BenchServer, startProduct } from '../servers.ts';
import { OBJECTS } from './append.ts';

/** Events of the stream that things are proved in. */
const EVENTS = 1_000_000;
/** Proofs of each kind. */
const PROOFS = 10_000;
/** Events whose hashes are timed. */
const HASHED = 100_000;
/** Changes a second while the delay of checkpoints is measured, and for how long before it is. */
const PACE = 1_000;
const WARM_UP_MS = 15_000;
/** Changes whose way into a checkpoint is followed. */
const PROBES = 100;
/** Pauses between two looks, in milliseconds: what the delay is exact to. */
const LOOK_MS = 50;
/** What hash and tree may cost of an append, and how long a checkpoint may take. */
const SHARE_AIM = 0.1;
const DELAY_AIM_MS = 10_000;

/** Section: what history’s proofs cost. */
export const proofs: Section = {
  name: 'proofs',
  title: 'Proofs: hash and tree, proofs of a million events, the delay of checkpoints',
  method:
    `Hash and tree: SHA-256 over the text of an event as a change writes it, its leaf appended to the frontier, and its ` +
    `share of the tiles, timed over ${HASHED.toLocaleString('en')} events, against the CPU time that workerd takes for a ` +
    '`PATCH` on one hot context. Proofs: of random events and between random sizes, from the tiles of a stream of ' +
    `${EVENTS.toLocaleString('en')} events in memory, ${PROOFS.toLocaleString('en')} of each. Delay: with ${OBJECTS} ` +
    `contexts changed ${PACE.toLocaleString('en')} times a second, one of them is changed and looked at every ${LOOK_MS} ms ` +
    'until a published checkpoint vouches for that version.',
  explanation:
    'What bounds it, read from the code and not from a profile: a proof reads at most two tiles of each level, three ' +
    'levels for a million events, and hashes what is missing between them. A busy context hands its head in every 4 s ' +
    'at most (`actors/log-sink.ts`), a shard collects for 1 s, and checkpoints are 2 s apart (`src/log/objects.ts`): the ' +
    'delay is their sum and the writing of the tiles.',
  async run(options) {
    const rows = [...timedProofs(options)];
    const server = await startProduct(options.workspace);
    const notes: string[] = [];
    try {
      rows.unshift(await timedHash(server, options));
      const { row, perSecond } = await timedDelay(server, options);
      rows.push(row);
      notes.push(`The load while checkpoints were followed: ${figure(perSecond)} changes a second.`);
    } finally {
      await server.stop();
    }
    return { table: { columns: ['', 'p50', 'p99', 'aim'], rows }, notes };
  },
};

async function timedHash(server: BenchServer, { roundMs, rounds, shrink, progress }: RunOptions): Promise<string[]> {
  progress('hash and tree');
  const count = Math.round(HASHED / shrink);
  const [id = ''] = await createContexts(server.url, 1);
  const { text } = sealEvent({
    id: '01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
    stream: `context/${id}`,
    version: 2,
    type: 'context_updated',
    schemaVersion: 1,
    time: new Date(0).toISOString(),
    actor: 'act_01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
    correlationId: '01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
    causationId: null,
    commandId: '01JD4Q2W3E4R5T6Y7V8X9Z0ABC',
    data: { name: 'Quarterly planning 12345', description: 'What the team does in round 12345' },
  });
  const started = performance.now();
  const tiles = new Map<string, Uint8Array>();
  let frontier: Frontier = EMPTY_FRONTIER;
  let leaves: Uint8Array[] = [];
  for (let event = 0; event < count; event++) {
    const leaf = sha256(text);
    frontier = appendLeaf(frontier, leaf);
    leaves.push(leaf);
    if (leaves.length < TILE_WIDTH) continue;
    grow(tiles, event + 1 - TILE_WIDTH, leaves);
    leaves = [];
  }
  const hashUs = ((performance.now() - started) * 1000) / count;
  const before = cpuUs(server.pid);
  const { requests } = await load({
    url: server.url,
    connections: CONNECTIONS,
    maxMs: roundMs * rounds,
    request: (index) => change([id], index),
  });
  const changeUs = (cpuUs(server.pid) - before) / requests;
  const share = hashUs / changeUs;
  return [
    'hash and tree of an event, of a whole change',
    `${figure(hashUs)} µs of ${figure(changeUs)} µs: **${figure(share * 100)} %**`,
    '',
    `≤ ${SHARE_AIM * 100} %: ${verdict(share <= SHARE_AIM)}`,
  ];
}

/** Builds the tiles of a long stream and times proofs from them. */
function timedProofs({ shrink, progress }: RunOptions): string[][] {
  const size = Math.round(EVENTS / shrink);
  const count = Math.round(PROOFS / shrink);
  progress(`building the tree of ${size} events`);
  const tiles = new Map<string, Uint8Array>();
  for (let from = 0; from < size; from += TILE_WIDTH) {
    const leaves = Array.from({ length: Math.min(TILE_WIDTH, size - from) }, () => new Uint8Array(randomBytes(32)));
    grow(tiles, from, leaves);
  }
  const read = ({ level, index }: TileName) => tiles.get(`${level}/${index}`) ?? null;
  progress('proving');
  const below = (limit: number) => Math.floor(Math.random() * limit);
  const inclusion = timed(count, () => unfaulted(inclusionProof(below(size), size, read)));
  const consistency = timed(count, () => unfaulted(consistencyProof(1 + below(size - 1), size, read)));
  const line = (name: string, ms: readonly number[]) => [
    `${name} in ${size.toLocaleString('en')} events`,
    `**${figure(quantile(ms, 0.5))}** ms`,
    `**${figure(quantile(ms, 0.99))}** ms`,
    '',
  ];
  return [line('an inclusion proof', inclusion), line('a consistency proof', consistency)];
}

/** @returns milliseconds that each took, shortest first */
function timed(count: number, act: () => unknown): number[] {
  return Array.from({ length: count }, () => {
    const started = performance.now();
    act();
    return performance.now() - started;
  }).sort((a, b) => a - b);
}

function grow(tiles: Map<string, Uint8Array>, from: number, leaves: readonly Uint8Array[]): void {
  const grown = growTiles(from, leaves, ({ level, index }) => tiles.get(`${level}/${index}`) ?? null);
  for (const { level, index, hashes } of unfaulted(grown)) tiles.set(`${level}/${index}`, hashes);
}

async function timedDelay(
  server: BenchServer,
  { shrink, progress }: RunOptions,
): Promise<{ readonly row: string[]; readonly perSecond: number }> {
  const probes = Math.max(5, Math.round(PROBES / shrink));
  const ids = await createContexts(server.url, OBJECTS);
  const ending = new AbortController();
  const loaded = underLoad(server, ids, ending.signal);
  await pause(WARM_UP_MS / Math.sqrt(shrink));
  const delays: number[] = [];
  for (let probe = 0; probe < probes; probe++) {
    if (probe % 10 === 0) progress(`${probe} of ${probes} checkpoints followed`);
    delays.push(await followOne(server, ids[probe % ids.length] ?? '', probe));
  }
  ending.abort();
  const perSecond = await loaded;
  delays.sort((a, b) => a - b);
  const p99 = quantile(delays, 0.99);
  return {
    row: [
      'from a change to a checkpoint that vouches for it',
      `**${figure(quantile(delays, 0.5) / 1000)}** s`,
      `**${figure(p99 / 1000)}** s`,
      `p99 ≤ ${DELAY_AIM_MS / 1000} s: ${verdict(p99 <= DELAY_AIM_MS)}`,
    ],
    perSecond,
  };
}

/** Changes contexts until it is told to stop. @returns changes per second */
async function underLoad({ url }: BenchServer, ids: readonly string[], signal: AbortSignal): Promise<number> {
  const started = performance.now();
  let sent = 0;
  while (!signal.aborted) {
    const from = sent;
    const request = (index: number) => change(ids, from + index);
    sent += (await load({ url, connections: CONNECTIONS, maxMs: 1_000, pace: PACE, request })).requests;
  }
  return (sent * 1000) / (performance.now() - started);
}

/** @returns milliseconds from sending a change until the bundle of its context reaches it */
async function followOne({ url }: BenchServer, id: string, probe: number): Promise<number> {
  const path = `${url}/v1/contexts/${id}`;
  const started = performance.now();
  const body = JSON.stringify({ tools: [`probe-${probe}`] });
  const response = await fetch(path, { method: 'PATCH', headers: CHANGE_HEADERS, body });
  const { version } = z.object({ version: z.number() }).parse(await response.json());
  for (;;) {
    const bundle = await fetch(`${path}/bundle?wait=0`, { method: 'HEAD', headers: CHANGE_HEADERS });
    if (Number.parseInt(bundle.headers.get('Stream-Next-Offset') ?? '0', 10) >= version)
      return performance.now() - started;
    await pause(LOOK_MS);
  }
}
