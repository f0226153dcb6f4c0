import type { LogSource } from '../../client/checkpoints.ts';
import { headEntry } from '../../events/bundle.ts';
import { formatCheckpoint } from '../../events/checkpoint.ts';
import { leafHashOf } from '../../events/merkle.ts';
import { formatNote, signText } from '../../events/note.ts';
import type { SigningKey } from '../../events/note-keys.ts';
import { TILE_WIDTH } from '../../events/proof.ts';
import { changedTiles, encodeEntries, entriesPath, growTiles, tilePath } from '../../events/tiles.ts';
import { LOG_KEY, MemoryTree, ORIGIN } from './proof-world.ts';
import { unfaulted } from './unfaulted.ts';

/** A log in memory as a server publishes it, by its paths; tests change what is in it. */
export class MemoryLog implements LogSource {
  readonly files = new Map<string, Uint8Array>();
  readonly tree = new MemoryTree();
  readonly #entries: Uint8Array[] = [];
  note: string | null = null;

  /** Appends heads and publishes a checkpoint. */
  append(heads: readonly { readonly stream: string; readonly size: number; readonly root: Uint8Array }[]): void {
    this.appendEntries(heads.map(({ stream, ...head }) => headEntry(stream, head)));
  }

  /** Appends entries of any kind. */
  appendEntries(entries: readonly Uint8Array[], signers: readonly SigningKey[] = [LOG_KEY]): void {
    const from = this.tree.size;
    const leaves = entries.map(leafHashOf);
    const grown = unfaulted(growTiles(from, leaves, this.tree.read));
    this.#entries.push(...entries);
    this.tree.append(leaves);
    for (const tile of grown) this.files.set(tilePath(tile), tile.hashes);
    for (const { level, index, width } of changedTiles(from, this.tree.size)) {
      const under = this.#entries.slice(index * TILE_WIDTH, index * TILE_WIDTH + width);
      if (level === 0) this.files.set(entriesPath({ index, width }), encodeEntries(under));
    }
    this.note = this.signed(signers);
  }

  /** The checkpoint as these keys sign it. */
  signed(signers: readonly SigningKey[] = [LOG_KEY]): string {
    const text = formatCheckpoint({ origin: ORIGIN, size: this.tree.size, root: this.tree.root(), extensions: [] });
    return formatNote({ text, signatures: signers.map((key) => signText(text, key, 1_795_478_400)) });
  }

  async checkpoint(): Promise<string | null> {
    return this.note;
  }

  async tile(path: string): Promise<Uint8Array | null> {
    return this.files.get(path) ?? null;
  }
}
