import { bytesToHex } from '@noble/hashes/utils.js';
import { fromBase64 } from '../../events/bytes.ts';
import { openCheckpoint } from '../../events/checkpoint.ts';
import { isFault } from '../../events/fault.ts';
import { EMPTY_ROOT, verifyConsistency } from '../../events/merkle.ts';
import { formatNote, parseNote, signText } from '../../events/note.ts';
import { SIGNATURE_TYPE, type SigningKey, signingKey, type VerifierKey } from '../../events/note-keys.ts';

/** What a witness answers over HTTP. */
interface WitnessResponse {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** A witness as C2SP tlog-witness describes it: it signs a checkpoint only when it follows from all it has seen. */
export class TestWitness {
  readonly key: SigningKey = signingKey('witness.example/w1', SIGNATURE_TYPE.cosignature, new Uint8Array(32).fill(7));
  /** The log's keys that it knows. */
  logKeys: readonly VerifierKey[] = [];
  #seen = { size: 0, root: EMPTY_ROOT };

  get size(): number {
    return this.#seen.size;
  }

  /** Answers a request to `add-checkpoint`. */
  addCheckpoint(body: string): WitnessResponse {
    const plain = (status: number, text: string) => ({ status, type: 'text/plain', text });
    const split = body.indexOf('\n\n');
    const [first = '', ...lines] = body.slice(0, split).split('\n');
    const old = /^old (\d+)$/.exec(first)?.[1];
    const proof = lines.map((line) => fromBase64(line)).filter((hash) => hash !== null);
    if (old === undefined || proof.length !== lines.length) return plain(400, 'malformed');
    const note = body.slice(split + 2);
    const checkpoint = openCheckpoint(note, this.logKeys);
    if (isFault(checkpoint)) return plain(403, checkpoint.fault);
    const from = Number(old);
    if (from > checkpoint.size) return plain(400, 'the old size is beyond the new one');
    if (from !== this.#seen.size) return { status: 409, type: 'text/x.tlog.size', text: `${this.#seen.size}\n` };
    const isSame = from === checkpoint.size && bytesToHex(this.#seen.root) !== bytesToHex(checkpoint.root);
    if (isSame) return plain(409, 'another root at the same size');
    const sizes = { from, to: checkpoint.size, fromRoot: this.#seen.root, toRoot: checkpoint.root, proof };
    if (!verifyConsistency(sizes)) return plain(422, 'it does not follow');
    this.#seen = { size: checkpoint.size, root: checkpoint.root };
    const parsed = parseNote(note);
    if (isFault(parsed)) return plain(400, parsed.fault);
    const signature = signText(parsed.text, this.key, Math.floor(Date.now() / 1000));
    return plain(200, formatNote({ text: parsed.text, signatures: [signature] }).slice(parsed.text.length + 1));
  }
}
