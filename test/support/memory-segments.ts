import type { SegmentStore } from '../../actors/cold-history.ts';

/** What can become of a call to the store. */
export const STORE_FATES = ['ok', 'put-fails', 'put-lost', 'put-garbled', 'get-fails'] as const;

/** What becomes of the next calls. */
export type StoreFate = (typeof STORE_FATES)[number];

/** A store of segments in memory, which outlives the objects. */
export class MemorySegments implements SegmentStore {
  readonly files = new Map<string, Uint8Array>();
  /** What becomes of the next move, taken up by the call that it is about. */
  fate: StoreFate = 'ok';
  /** The stream whose calls these are: objects of other tests may still be at work. */
  stream = '';
  puts = 0;
  gets = 0;

  async put(name: string, file: Uint8Array): Promise<void> {
    this.puts += 1;
    if (this.#befalls('put-fails', name)) throw new Error('the store takes nothing');
    this.files.set(name, this.#befalls('put-garbled', name) ? file.slice(0, file.length / 2) : file);
    if (this.#befalls('put-lost', name)) throw new Error('nobody heard that it was written');
  }

  async get(name: string): Promise<Uint8Array | null> {
    this.gets += 1;
    if (this.#befalls('get-fails', name)) throw new Error('the store does not answer');
    return this.files.get(name) ?? null;
  }

  #befalls(fate: StoreFate, name: string): boolean {
    if (this.fate !== fate || !name.startsWith(`${this.stream}/`)) return false;
    this.fate = 'ok';
    return true;
  }
}
