import { z } from 'zod';
import { equalBytes } from '../../events/bytes.ts';
import { compareCheckpoints, openCheckpoint, type SignedCheckpoint } from '../../events/checkpoint.ts';
import { isFault } from '../../events/fault.ts';
import { appendLeaf, EMPTY_FRONTIER, type Frontier, frontierRoot, leafHashOf } from '../../events/merkle.ts';
import { parseVerifierKey, type VerifierKey } from '../../events/note-keys.ts';
import { fetchConsistencyProof, TILE_WIDTH, type TileName } from '../../events/proof.ts';
import { decodeEntries, entriesPath, tilePath } from '../../events/tiles.ts';
import { verifyBundle } from '../../events/verify.ts';
import { ask } from './ask.ts';
import type { Target } from './writers.ts';

/** Seconds that a bundle is waited for. */
const WAIT_S = 60;

const keysBody = z.object({ keys: z.array(z.object({ key: z.string() })) });

/** Somebody outside who remembers what the log of logs has said, and compares it with what it says later. */
export class LogReader {
  #last: SignedCheckpoint | null = null;

  /** How many entries the log had when it was looked at last. */
  get size(): number {
    return this.#last?.size ?? 0;
  }

  /** Reads the checkpoint. @returns what contradicts what was seen before, in words */
  async look(target: Target): Promise<string[]> {
    const response = await ask(target, '/log/checkpoint');
    const note = await response.text();
    const last = this.#last;
    if (response.status === 404 && last === null) return [];
    if (!response.ok) return [`/log/checkpoint answered ${response.status}: ${note}`];
    const checkpoint = openCheckpoint(note, await readKeys(target));
    if (isFault(checkpoint)) return [`The checkpoint is not good: ${checkpoint.fault}`];
    this.#last = checkpoint;
    if (last === null) return [];
    const proof =
      last.size < checkpoint.size
        ? await fetchConsistencyProof(last.size, checkpoint.size, (tile) => readTile(target, tile))
        : [];
    if (isFault(proof)) return [`The log does not prove that size ${checkpoint.size} follows: ${proof.fault}`];
    const relation = compareCheckpoints(last, checkpoint, proof);
    if (relation === 'same' || relation === 'grown') return [];
    return [`From size ${last.size} to ${checkpoint.size} the log is ${relation}`];
  }

  /** Reads the whole log. @returns what does not fit the checkpoint that was read last */
  async readAll(target: Target): Promise<string[]> {
    const checkpoint = this.#last;
    if (checkpoint === null) return ['There is no checkpoint'];
    let frontier: Frontier = EMPTY_FRONTIER;
    for (let index = 0; index * TILE_WIDTH < checkpoint.size; index++) {
      const width = Math.min(TILE_WIDTH, checkpoint.size - index * TILE_WIDTH);
      const bytes = await read(target, entriesPath({ index, width }));
      const entries = bytes && decodeEntries(bytes, width);
      if (entries === null || isFault(entries)) return [`The entries under tile ${index} cannot be read`];
      frontier = entries.map(leafHashOf).reduce(appendLeaf, frontier);
    }
    const fits = equalBytes(frontierRoot(frontier), checkpoint.root);
    return fits ? [] : [`The ${checkpoint.size} entries of the log do not give the root of its checkpoint`];
  }
}

/** Verifies the whole history of a context by its bundle. @returns what is wrong, in words */
export async function checkBundle(target: Target, id: string): Promise<string[]> {
  const response = await ask(target, `/v1/contexts/${id}/bundle?wait=${WAIT_S}`);
  const bundle = await response.text();
  if (!response.ok) return [`${id}: its bundle is answered ${response.status}: ${bundle.slice(0, 300)}`];
  if (response.headers.get('Stream-Up-To-Date') !== 'true') return [`${id}: its last events are not logged`];
  const verdict = verifyBundle(bundle, { keys: await readKeys(target), witnesses: 0, earlier: [] });
  return verdict.findings.map(({ message }) => `${id}: ${message}`);
}

async function readKeys(target: Target): Promise<VerifierKey[]> {
  const { keys } = keysBody.parse(await (await ask(target, '/log/keys')).json());
  return keys.map(({ key }) => parseVerifierKey(key)).filter((key): key is VerifierKey => !isFault(key));
}

function readTile(target: Target, tile: TileName): Promise<Uint8Array | null> {
  return read(target, tilePath(tile));
}

async function read(target: Target, path: string): Promise<Uint8Array | null> {
  const response = await ask(target, `/log/${path}`);
  return response.ok ? new Uint8Array(await response.arrayBuffer()) : null;
}
