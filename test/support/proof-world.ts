import { type BundleHeader, formatHeader, headEntry } from '../../events/bundle.ts';
import { formatCheckpoint } from '../../events/checkpoint.ts';
import { sealEvent } from '../../events/envelope.ts';
import type { JsonObject } from '../../events/json.ts';
import { leafHashOf } from '../../events/merkle.ts';
import { formatNote, signText } from '../../events/note.ts';
import { formatVerifierKey, SIGNATURE_TYPE, type SigningKey, signingKey } from '../../events/note-keys.ts';
import { inclusionProof, rootAt, type TileName } from '../../events/proof.ts';
import { growTiles } from '../../events/tiles.ts';
import { nextUlid } from '../../events/ulid.ts';
import { unfaulted } from './unfaulted.ts';

/** The origin of the log, and so the name of its key. */
export const ORIGIN = 'log.example/contexts';
export const LOG_KEY = signingKey(ORIGIN, SIGNATURE_TYPE.note, new Uint8Array(32).fill(1));
export const NEXT_LOG_KEY = signingKey(ORIGIN, SIGNATURE_TYPE.note, new Uint8Array(32).fill(2));
export const WITNESS = signingKey('witness.example/w1', SIGNATURE_TYPE.cosignature, new Uint8Array(32).fill(3));

/** A time to begin at: 2026-11-24T00:00:00Z, in milliseconds. */
const START = 1_795_478_400_000;

/** A tree in tiles, in memory. */
export class MemoryTree {
  readonly #tiles = new Map<string, Uint8Array>();
  size = 0;

  readonly read = ({ level, index }: TileName): Uint8Array | null => this.#tiles.get(`${level}/${index}`) ?? null;

  append(leaves: readonly Uint8Array[]): void {
    for (const tile of unfaulted(growTiles(this.size, leaves, this.read))) {
      this.#tiles.set(`${tile.level}/${tile.index}`, tile.hashes);
    }
    this.size += leaves.length;
  }

  root(size = this.size): Uint8Array {
    return unfaulted(rootAt(size, this.read));
  }
}

/** A stream of events as an object holds it. */
export class Stream {
  readonly tree = new MemoryTree();
  readonly texts: string[] = [];
  readonly name: string;
  #lastId: string | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** Appends an event; `data` is what it says. @param type the creation of a context, and then its changes, when left out */
  append(data: JsonObject, type?: string): void {
    const version = this.texts.length + 1;
    const now = START + version * 1000;
    this.#lastId = nextUlid(now, this.#lastId);
    const { text, leafHash } = sealEvent({
      id: this.#lastId,
      stream: this.name,
      version,
      type: type ?? (version === 1 ? 'context_created' : 'context_updated'),
      schemaVersion: 1,
      time: new Date(now).toISOString(),
      actor: 'act_someone',
      correlationId: 'c',
      causationId: null,
      commandId: 'd',
      data,
    });
    this.texts.push(text);
    this.tree.append([Buffer.from(leafHash, 'hex')]);
  }
}

/** The log of logs. */
export class HeadLog {
  readonly tree = new MemoryTree();
  readonly #heads: { stream: string; size: number; index: number }[] = [];

  /** Takes the head of a stream. */
  record(stream: Stream): void {
    const { size } = stream.tree;
    this.#heads.push({ stream: stream.name, size, index: this.tree.size });
    this.tree.append([leafHashOf(headEntry(stream.name, { size, root: stream.tree.root() }))]);
  }

  /** Publishes what there is. */
  checkpoint(signers: readonly SigningKey[] = [LOG_KEY], origin = ORIGIN): string {
    const text = formatCheckpoint({ origin, size: this.tree.size, root: this.tree.root(), extensions: [] });
    return formatNote({ text, signatures: signers.map((key) => signText(text, key, 1_795_478_400)) });
  }

  /** The first line of the bundle of a stream, at the last head that is in the log. */
  header(stream: Stream, signers: readonly SigningKey[] = [LOG_KEY]): BundleHeader {
    const heads = this.#heads
      .filter((head) => head.stream === stream.name)
      .map(({ size, index }) => {
        const proof = unfaulted(inclusionProof(index, this.tree.size, this.tree.read));
        return { size, root: stream.tree.root(size), index, proof };
      });
    const keys = signers.map(formatVerifierKey);
    return { stream: stream.name, checkpoint: this.checkpoint(signers), keys, heads };
  }

  /** The lines of the bundle of a stream. */
  bundle(stream: Stream, signers: readonly SigningKey[] = [LOG_KEY]): string[] {
    const header = this.header(stream, signers);
    return [formatHeader(header), ...stream.texts.slice(0, header.heads.at(-1)?.size)];
  }
}

/** A log of three streams, of which the first has events whose heads were logged at the sizes given. */
export function world(logged: readonly number[]): { log: HeadLog; stream: Stream; other: Stream } {
  const [stream, other, third] = ['context/ctx_ONE', 'context/ctx_TWO', 'actor/act_THREE'].map(
    (name) => new Stream(name),
  );
  if (!stream || !other || !third) throw new Error('There are three streams');
  const log = new HeadLog();
  for (const size of logged) {
    while (stream.texts.length < size) {
      stream.append({ name: `words ${stream.texts.length}`, 'ключ "1"': 'line\n' });
      other.append({ name: `other ${other.texts.length}` });
    }
    third.append({ name: 'third' });
    for (const each of [other, stream, third]) log.record(each);
  }
  return { log, stream, other };
}
