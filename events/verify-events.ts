import { hexToBytes } from '@noble/hashes/utils.js';
import { equalBytes } from './bytes.ts';
import type { TreeHead } from './checkpoint.ts';
import { isFault } from './fault.ts';
import type { FindingCode, Findings } from './finding.ts';
import type { Line } from './line.ts';
import { appendLeaf, EMPTY_FRONTIER, type Frontier, frontierRoot, HASH_BYTES } from './merkle.ts';
import { openSealed, type SealedFacts } from './sealed.ts';

/** A head that the events must give on their way. */
export interface ExpectedHead extends TreeHead {
  /** Who says so: the log of this bundle, or what the caller remembers from earlier. */
  readonly from: 'log' | 'earlier';
}

/** Versions that are missing, both ends included. */
interface Gap {
  readonly from: number;
  readonly to: number;
}

/** Gaps that are remembered in case the events turn up later in the wrong place. */
const GAPS_MAX = 1000;

/**
 * Follows the events of one stream, in constant memory: each must be sealed and intact, of this stream, the next
 * version, no earlier than the one before; and together they must give the roots that are expected of them.
 */
export class EventsVerifier {
  readonly #stream: string;
  readonly #heads: readonly ExpectedHead[];
  readonly #findings: Findings;
  readonly #gaps: Gap[] = [];
  #nextHead = 0;
  #frontier: Frontier = EMPTY_FRONTIER;
  #last: Pick<SealedFacts, 'version' | 'time' | 'id'> | null = null;
  /** The next version that is wanted. */
  #next = 1;
  /** Up to here the events gave an expected root, by who expects it: the two may hold different histories. */
  readonly #provenTo: Record<ExpectedHead['from'], number> = { log: 0, earlier: 0 };
  /** Whether each event so far stood in its place; a tree over others can have no root that is expected. */
  #isInPlace = true;

  /** @param heads by rising size */
  constructor(stream: string, heads: readonly ExpectedHead[], findings: Findings) {
    this.#stream = stream;
    this.#heads = heads;
    this.#findings = findings;
  }

  /** How many events there were. */
  get size(): number {
    return this.#frontier.size;
  }

  /** The root of the tree over them. */
  get root(): Uint8Array {
    return frontierRoot(this.#frontier);
  }

  /** Takes the line of the next event. */
  event(line: Line): void {
    const facts = openSealed(line);
    if (isFault(facts)) {
      this.#find('event-malformed', this.#next, `it is no sealed event: ${facts.fault}`);
      this.#append(leafInside(line.text));
      this.#next++;
      return;
    }
    if (!facts.isIntact) {
      const message = `its content is not what was hashed: its leafHash is not that of its content (${facts.type})`;
      this.#find('event-altered', facts.version, message);
    }
    this.#place(facts);
    // Of an altered event the hash that it had: so the root tells whether it was the content that was changed.
    this.#append(facts.isIntact ? facts.contentHash : hexToBytes(facts.claimedHash));
  }

  /** Says what is missing in the end. */
  end(): void {
    for (const { from, to } of this.#gaps) this.#find('event-missing', from, missing(from, to));
    // Gaps are told already; what is missing at the end shows by the versions, not by how many events there were.
    const reached = this.#next - 1;
    const whole = this.#heads.filter(({ from }) => from === 'log').at(-1)?.size ?? 0;
    if (reached < whole) this.#find('event-missing', this.#next, `${missing(this.#next, whole)}: the bundle is cut`);
    if (reached > whole) {
      this.#find('event-unlogged', whole + 1, `the log vouches for versions up to ${whole}; this one is beyond`);
    }
    const remembered = this.#heads.filter(({ from, size }) => from === 'earlier' && size > reached).at(-1);
    if (remembered) {
      const message = `there were ${remembered.size} events earlier, now there are ${reached}: history was cut`;
      this.#find('history-truncated', reached + 1, message);
    }
  }

  #place({ stream, version, time, id }: SealedFacts): void {
    if (stream !== this.#stream) this.#find('event-of-other-stream', version, `it is one of ${stream}`);
    if (version < this.#next) this.#misplaced(version);
    else {
      if (version > this.#next) this.#gap({ from: this.#next, to: version - 1 });
      this.#next = version + 1;
      const last = this.#last;
      if (last && time < last.time) {
        this.#find('event-time', version, `its time ${time} is before that of version ${last.version}, ${last.time}`);
      }
      if (last && id <= last.id) {
        this.#find('event-id', version, `its id ${id} does not sort after that of version ${last.version}, ${last.id}`);
      }
      this.#last = { version, time, id };
    }
  }

  #gap(gap: Gap): void {
    this.#isInPlace = false;
    if (this.#gaps.length < GAPS_MAX) this.#gaps.push(gap);
    else this.#find('event-missing', gap.from, missing(gap.from, gap.to));
  }

  /** An event whose version has been passed: one that was missing stands in the wrong place, another is there twice. */
  #misplaced(version: number): void {
    this.#isInPlace = false;
    const at = this.#gaps.findIndex(({ from, to }) => from <= version && version <= to);
    const gap = this.#gaps[at];
    if (!gap) {
      this.#find('event-repeated', version, `it stands after version ${this.#next - 1}, and its place is taken`);
      return;
    }
    const rest = [
      { from: gap.from, to: version - 1 },
      { from: version + 1, to: gap.to },
    ];
    this.#gaps.splice(at, 1, ...rest.filter(({ from, to }) => from <= to));
    this.#find('event-out-of-order', version, `it stands after version ${this.#next - 1}`);
  }

  #find(code: FindingCode, version: number, what: string, through: number | null = null): void {
    const where = through === null ? `${this.#stream} version ${version}: ` : `${this.#stream}: `;
    this.#findings.add({ code, stream: this.#stream, version, through, message: where + what });
  }

  #append(leafHash: Uint8Array): void {
    this.#frontier = appendLeaf(this.#frontier, leafHash);
    for (let head = this.#heads[this.#nextHead]; head?.size === this.size; head = this.#heads[this.#nextHead]) {
      this.#nextHead++;
      if (this.#isInPlace) this.#compare(head);
    }
  }

  #compare({ from, root, size }: ExpectedHead): void {
    if (equalBytes(this.root, root)) {
      this.#provenTo[from] = size;
      return;
    }
    const first = this.#provenTo[from] + 1;
    const which = first === size ? `version ${size} is` : `one or more of versions ${first} to ${size} are`;
    if (from === 'log') {
      const message = `${which} not what the log holds: the events do not give the root of size ${size}`;
      this.#find('root-mismatch', first, message, size);
    } else {
      const message = `${which} not what was there earlier: the events do not give the root that size ${size} had`;
      this.#find('history-rewritten', first, message, size);
    }
  }
}

function missing(from: number, to: number): string {
  return from === to ? 'it is missing' : `versions ${from} to ${to} are missing`;
}

/** The leaf hash that a spoilt text names, so that the events after it can be judged. */
function leafInside(text: string): Uint8Array {
  const [, hex] = /^.*"leafHash":"([0-9a-f]{64})"/s.exec(text) ?? [];
  return hex === undefined ? new Uint8Array(HASH_BYTES) : hexToBytes(hex);
}
