import { type BundleHeader, headLeaf, parseHeader } from './bundle.ts';
import {
  type Checkpoint,
  claimedCheckpoint,
  openCheckpoint,
  type SignedCheckpoint,
  type TreeHead,
} from './checkpoint.ts';
import { type Fault, isFault } from './fault.ts';
import { type Finding, type FindingCode, Findings } from './finding.ts';
import { Line } from './line.ts';
import { verifyInclusion } from './merkle.ts';
import { formatVerifierKey, parseVerifierKey, type VerifierKey } from './note-keys.ts';
import { EventsVerifier } from './verify-events.ts';

/** What a verifier knows from elsewhere than from what it verifies. */
export interface Trust {
  /** The keys that are trusted: of the log, and of witnesses. */
  readonly keys: readonly VerifierKey[];
  /** How many of the trusted witnesses must have signed the checkpoint. */
  readonly witnesses: number;
  /** Heads that were verified earlier: the history must begin with each of them. One list when the stream is known. */
  readonly earlier: readonly TreeHead[] | ((stream: string) => readonly TreeHead[]);
}

/** What became of a verification. */
export interface Verdict {
  /** True when nothing was found: the events are those that the log holds, and the log is one that is trusted. */
  readonly isVerified: boolean;
  readonly stream: string | null;
  /** The tree over the events that were read. */
  readonly head: TreeHead;
  /** The checkpoint, when a trusted key has signed it. */
  readonly checkpoint: SignedCheckpoint | null;
  readonly findings: readonly Finding[];
  /** How many findings there were beyond those listed. */
  readonly moreFindings: number;
}

/**
 * Verifies a proof bundle line by line, in memory that does not grow with it. It needs nothing else: no network and no
 * clock. Call `line` with each line in order, then `end`.
 */
export class BundleVerifier {
  readonly #trust: Trust;
  readonly #findings = new Findings();
  #hasHeader = false;
  #stream: string | null = null;
  #events: EventsVerifier | null = null;
  #checkpoint: SignedCheckpoint | null = null;

  constructor(trust: Trust) {
    this.#trust = trust;
  }

  /** Takes the next line. */
  line(line: Line): void {
    if (this.#hasHeader) this.#events?.event(line);
    else {
      this.#hasHeader = true;
      this.#header(line.fault ?? parseHeader(line.text));
    }
  }

  /** How much was found to be wrong so far. */
  get wrong(): number {
    return this.#findings.list.length + this.#findings.more;
  }

  /** Ends the verification. */
  end(): Verdict {
    if (!this.#hasHeader) this.#find('bundle-malformed', 'The bundle is empty');
    this.#events?.end();
    const { list, more } = this.#findings;
    return {
      isVerified: list.length === 0,
      stream: this.#stream,
      head: { size: this.#events?.size ?? 0, root: this.#events?.root ?? new Uint8Array() },
      checkpoint: this.#checkpoint,
      findings: list,
      moreFindings: more,
    };
  }

  #header(header: BundleHeader | Fault): void {
    if (isFault(header)) {
      this.#find('bundle-malformed', `The bundle cannot be read: ${header.fault}`);
      return;
    }
    this.#stream = header.stream;
    const checkpoint = this.#open(header);
    if (checkpoint) this.#verifyHeads(header, checkpoint);
    const { earlier } = this.#trust;
    const remembered = typeof earlier === 'function' ? earlier(header.stream) : earlier;
    const heads = [
      ...header.heads.map(({ size, root }) => ({ size, root, from: 'log' as const })),
      ...remembered.map(({ size, root }) => ({ size, root, from: 'earlier' as const })),
    ];
    heads.sort((a, b) => a.size - b.size);
    this.#events = new EventsVerifier(header.stream, heads, this.#findings);
  }

  /** Opens the checkpoint. One that is not to be trusted still says what the rest of the bundle must fit. */
  #open({ checkpoint, keys }: BundleHeader): Checkpoint | null {
    const opened = openCheckpoint(checkpoint, this.#trust.keys);
    if (!isFault(opened)) {
      this.#checkpoint = opened;
      this.#countWitnesses(opened);
      return opened;
    }
    const named = keys.flatMap((text) => {
      const key = parseVerifierKey(text);
      return isFault(key) ? [] : [key];
    });
    const byNamed = openCheckpoint(checkpoint, named);
    if (isFault(byNamed)) this.#find('checkpoint-invalid', `The checkpoint is not proved: ${opened.fault}`);
    else {
      const signers = byNamed.signedBy.map(formatVerifierKey).join(', ');
      this.#find('key-not-trusted', `The checkpoint is signed by a key that you do not trust: ${signers}`);
    }
    const claimed = claimedCheckpoint(checkpoint);
    return isFault(claimed) ? null : claimed;
  }

  #countWitnesses({ cosignatures }: SignedCheckpoint): void {
    const { witnesses } = this.#trust;
    // By name: a witness that rotates its keys is still one.
    const count = new Set(cosignatures.map(({ key }) => key.name)).size;
    if (count >= witnesses) return;
    const message = `${count} of the witnesses that you trust have signed the checkpoint, ${witnesses} are wanted`;
    this.#find('witnesses-missing', message);
  }

  #verifyHeads({ stream, heads }: BundleHeader, { size, root, origin }: Checkpoint): void {
    for (const { index, proof, ...head } of heads) {
      if (verifyInclusion({ index, size, root, proof, leafHash: headLeaf(stream, head) })) continue;
      const message = `The head of ${stream} at size ${head.size} is not entry ${index} of ${origin} at size ${size}`;
      this.#find('head-not-in-log', message);
    }
  }

  #find(code: FindingCode, message: string): void {
    this.#findings.add({ code, stream: this.#stream, version: null, through: null, message });
  }
}

/** Verifies a bundle that is in memory as a whole. */
export function verifyBundle(bundle: string, trust: Trust): Verdict {
  const verifier = new BundleVerifier(trust);
  const lines = bundle.split('\n');
  // The last line ends with a line feed like all the others.
  if (lines.at(-1) === '') lines.pop();
  for (const line of lines) verifier.line(Line.of(line));
  return verifier.end();
}
