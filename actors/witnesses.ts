import { isFault } from '../events/fault.ts';
import { formatNote, openNote, parseNote } from '../events/note.ts';
import type { VerifierKey } from '../events/note-keys.ts';
import { formatWitnessRequest } from '../events/witness-request.ts';

/** Requests that one checkpoint may take at one witness: a second one when it remembers another size than we do. */
const REQUESTS_MAX = 2;

/** What a witness answers. */
export type WitnessAnswer =
  /** Lines of signatures. */
  | { readonly lines: string }
  /** The last checkpoint that it has signed has another size. */
  | { readonly size: number };

/** Somebody who signs that they saw a checkpoint (C2SP tlog-witness). */
export interface Witness {
  readonly key: VerifierKey;
  /** Sends a request. Rejects when there is no answer, or one that cannot be used. */
  ask(body: string): Promise<WitnessAnswer>;
}

/** What of the log its witnesses have to do with. */
interface WitnessedLog {
  /** The checkpoint that is shown, as the log signed it. */
  readonly published: { readonly size: number; readonly note: string } | null;
  /** Proves that the tree of `to` entries begins with that of `from`. */
  consistency(from: number, to: number): readonly Uint8Array[];
  /** The size of the last checkpoint that a witness has signed, as far as is known. */
  witnessed(name: string): number;
  noteWitnessed(name: string, size: number): void;
  /** Adds the line of a witness's signature to the checkpoint of that size. */
  addCosignature(size: number, line: string): void;
}

/**
 * Asks the witnesses to sign what is published, one request at a time each. Nothing waits for them: one that does not
 * answer is asked again when there is another checkpoint.
 */
export class Witnesses {
  readonly #log: WitnessedLog;
  readonly #witnesses: readonly Witness[];
  readonly #asked = new Set<Witness>();

  constructor(log: WitnessedLog, witnesses: readonly Witness[]) {
    this.#log = log;
    this.#witnesses = witnesses;
  }

  /** Asks all that are not being asked. */
  ask(): void {
    for (const witness of this.#witnesses) {
      if (this.#asked.has(witness)) continue;
      this.#asked.add(witness);
      void this.#askOne(witness).finally(() => this.#asked.delete(witness));
    }
  }

  /** Never rejects. */
  async #askOne(witness: Witness): Promise<void> {
    try {
      // While it was thinking, there may have been another checkpoint.
      while (await this.#sign(witness));
    } catch (error) {
      console.error(JSON.stringify({ level: 'warning', message: `Witness ${witness.key.name}: ${error}` }));
    }
  }

  /** @returns whether there is a newer checkpoint than the one that the witness has signed now */
  async #sign({ key, ask }: Witness): Promise<boolean> {
    const { published } = this.#log;
    if (published === null) return false;
    for (let requests = 0; requests < REQUESTS_MAX; requests++) {
      const oldSize = this.#log.witnessed(key.name);
      const proof = this.#log.consistency(Math.min(oldSize, published.size), published.size);
      const answer = await ask(formatWitnessRequest({ oldSize, proof, note: published.note }));
      if ('lines' in answer) {
        this.#log.addCosignature(published.size, lineOf(published.note, answer.lines, key));
        this.#log.noteWitnessed(key.name, published.size);
        return (this.#log.published?.size ?? 0) > published.size;
      }
      // A witness that has signed more than there is has seen a log that was rolled back, or another one.
      if (answer.size > published.size)
        throw new Error(`it has signed size ${answer.size}, there is ${published.size}`);
      this.#log.noteWitnessed(key.name, answer.size);
    }
    throw new Error('it does not stand by the size that it named');
  }
}

/** The line with the witness's signature. @throws when it is missing or not right */
function lineOf(signed: string, lines: string, key: VerifierKey): string {
  const note = parseNote(signed + lines);
  if (isFault(note)) throw new Error(note.fault);
  const mine = note.signatures.filter(({ name, keyId }) => name === key.name && keyId === key.id).slice(0, 1);
  const cosigned = formatNote({ text: note.text, signatures: mine });
  const opened = openNote(cosigned, [key]);
  if (isFault(opened)) throw new Error(opened.fault);
  return cosigned.slice(note.text.length + 1);
}
