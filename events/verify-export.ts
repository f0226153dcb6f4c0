import { bytesToHex } from '@noble/hashes/utils.js';
import { ByteLines } from './byte-lines.ts';
import type { SignedCheckpoint, TreeHead } from './checkpoint.ts';
import { type Finding, Findings } from './finding.ts';
import { Line } from './line.ts';
import { BundleVerifier, type Trust, type Verdict } from './verify.ts';

/** What a verifier of many bundles knows from elsewhere. */
export interface ExportTrust extends Omit<Trust, 'earlier'> {
  /** Heads that were verified earlier, by stream. */
  readonly earlier: ReadonlyMap<string, readonly TreeHead[]>;
}

/** What became of an export. */
export interface ExportVerdict {
  readonly isVerified: boolean;
  /** How many streams were read, and how many events. */
  readonly streams: number;
  readonly events: number;
  /** The checkpoints of the bundles that a trusted key has signed, each once, smallest first. */
  readonly checkpoints: readonly SignedCheckpoint[];
  readonly findings: readonly Finding[];
  readonly moreFindings: number;
  /** Whether it was read to its end: where so much is wrong, the rest can tell no more. */
  readonly isWhole: boolean;
}

/** What may be wrong before no more is read: input that was made to take long is soon done with. */
const WRONG_MAX = 10_000;

/** How the first line of a bundle begins: its members are sorted. No event has a member of that name. */
const HEADER_START = '{"checkpoint":';

/** Checkpoints that are remembered: an export made in one go has one or a few. */
const CHECKPOINTS_MAX = 10_000;

/**
 * Verifies an export: proof bundles, one after the other. One alone is an export too. Memory does not grow with the
 * events. Two bundles whose checkpoints have one size and two roots are two histories told by one log.
 */
class ExportVerifier {
  readonly #trust: ExportTrust;
  readonly #onVerdict: (verdict: Verdict) => void;
  readonly #findings = new Findings();
  readonly #checkpoints = new Map<string, SignedCheckpoint>();
  #bundle: BundleVerifier | null = null;
  #streams = 0;
  #events = 0;

  /** @param onVerdict told what became of each bundle */
  constructor(trust: ExportTrust, onVerdict: (verdict: Verdict) => void = () => undefined) {
    this.#trust = trust;
    this.#onVerdict = onVerdict;
  }

  /** Takes the next line. */
  line(line: Line): void {
    if (line.text.startsWith(HEADER_START)) this.#finish();
    this.#bundle ??= new BundleVerifier({
      ...this.#trust,
      earlier: (stream) => this.#trust.earlier.get(stream) ?? [],
    });
    this.#bundle.line(line);
  }

  /** Whether too much is wrong to go on. */
  get isHopeless(): boolean {
    return this.#findings.list.length + this.#findings.more + (this.#bundle?.wrong ?? 0) > WRONG_MAX;
  }

  /** Ends the verification. */
  end(): ExportVerdict {
    // Nothing at all is not an export.
    if (this.#streams === 0 && this.#bundle === null) this.line(Line.of(''));
    const isWhole = !this.isHopeless;
    this.#finish();
    const { list, more } = this.#findings;
    return {
      isVerified: list.length === 0,
      streams: this.#streams,
      events: this.#events,
      checkpoints: [...this.#checkpoints.values()].sort((a, b) => a.size - b.size),
      findings: list,
      moreFindings: more,
      isWhole,
    };
  }

  #finish(): void {
    const verdict = this.#bundle?.end();
    this.#bundle = null;
    if (!verdict) return;
    this.#streams++;
    this.#events += verdict.head.size;
    for (const finding of verdict.findings) this.#findings.add(finding);
    this.#findings.more += verdict.moreFindings;
    if (verdict.checkpoint) this.#remember(verdict.checkpoint, verdict.stream);
    this.#onVerdict(verdict);
  }

  #remember(checkpoint: SignedCheckpoint, stream: string | null): void {
    const { origin, size, root } = checkpoint;
    const place = `${origin}\n${size}`;
    const known = this.#checkpoints.get(place);
    if (!known) {
      if (this.#checkpoints.size < CHECKPOINTS_MAX) this.#checkpoints.set(place, checkpoint);
      return;
    }
    if (bytesToHex(known.root) === bytesToHex(root)) return;
    const message = `${origin} has signed two checkpoints of size ${size} with different roots: it tells two histories`;
    this.#findings.add({ code: 'log-split', stream, version: null, through: null, message });
  }
}

/** Verifies an export as its bytes come. After a line that is too long no more is read. */
export async function verifyExport(
  chunks: AsyncIterable<Uint8Array>,
  trust: ExportTrust,
  onVerdict?: (verdict: Verdict) => void,
): Promise<ExportVerdict> {
  const verifier = new ExportVerifier(trust, onVerdict);
  const lines = new ByteLines((line) => verifier.line(line));
  for await (const chunk of chunks) if (!lines.push(chunk) || verifier.isHopeless) break;
  lines.end();
  return verifier.end();
}
