import {
  type Checkpoint,
  claimedCheckpoint,
  compareCheckpoints,
  openCheckpoint,
  type SignedCheckpoint,
} from '../events/checkpoint.ts';
import { isFault } from '../events/fault.ts';
import type { FindingCode, Findings } from '../events/finding.ts';
import { parseNote } from '../events/note.ts';
import type { VerifierKey } from '../events/note-keys.ts';
import { fetchConsistencyProof } from '../events/proof.ts';
import { tilePath } from '../events/tiles.ts';

/** A transparency log as C2SP tlog-tiles serves it. */
export interface LogSource {
  /** The newest checkpoint, a signed note; null while there is none. */
  checkpoint(): Promise<string | null>;
  /** What is at a path such as `tile/0/000`; null when there is nothing. */
  tile(path: string): Promise<Uint8Array | null>;
}

/** What an auditor of a log knows from elsewhere. */
export interface LogTrust {
  readonly keys: readonly VerifierKey[];
  /** How many of the trusted witnesses must have signed. */
  readonly witnesses: number;
  /** Checkpoints that were verified earlier: the log must begin with each of them. */
  readonly earlier: readonly Checkpoint[];
}

/** A checkpoint, or why it is none that can be relied on, with what it claims all the same. */
export interface OpenedCheckpoint {
  readonly checkpoint: Checkpoint | null;
  readonly signed: SignedCheckpoint | null;
}

/** Opens a checkpoint, and notes what is wrong with it. @param what how it is called in messages */
export function openTrusted(
  note: string,
  { keys, witnesses }: Pick<LogTrust, 'keys' | 'witnesses'>,
  findings: Findings,
  what: string,
): OpenedCheckpoint {
  const opened = openCheckpoint(note, keys);
  if (isFault(opened)) {
    const parsed = parseNote(note);
    const signers = isFault(parsed) ? [] : parsed.signatures;
    const isKnown = signers.some(({ name, keyId }) => keys.some((key) => key.name === name && key.id === keyId));
    if (isKnown || isFault(parsed)) addToLog(findings, 'checkpoint-invalid', `${what} is not proved: ${opened.fault}`);
    else {
      const names = signers.map(({ name, keyId }) => `${name}+${keyId}`).join(', ');
      addToLog(findings, 'key-not-trusted', `${what} is signed by a key that you do not trust: ${names}`);
    }
    const claimed = claimedCheckpoint(note);
    return { checkpoint: isFault(claimed) ? null : claimed, signed: null };
  }
  const count = new Set(opened.cosignatures.map(({ key }) => key.name)).size;
  if (count < witnesses) {
    const message = `${count} of the witnesses that you trust have signed ${what}, ${witnesses} are wanted`;
    addToLog(findings, 'witnesses-missing', message);
  }
  return { checkpoint: opened, signed: opened };
}

/**
 * Finds out whether a log still begins with what an earlier checkpoint said, by a consistency proof from its tiles:
 * O(log n) of them.
 */
export async function followCheckpoint(
  source: Pick<LogSource, 'tile'>,
  earlier: Checkpoint,
  later: Checkpoint,
  findings: Findings,
): Promise<void> {
  if (earlier.origin !== later.origin || earlier.size >= later.size) {
    addRelation(findings, earlier, later, compareCheckpoints(earlier, later, []));
    return;
  }
  const proof = await fetchConsistencyProof(earlier.size, later.size, (name) => source.tile(tilePath(name)));
  if (isFault(proof))
    addToLog(findings, 'tile-missing', `No proof could be made that the log has only grown: ${proof.fault}`);
  else addRelation(findings, earlier, later, compareCheckpoints(earlier, later, proof));
}

/** Notes what two checkpoints are to each other, when it is anything that must not be. */
export function addRelation(
  findings: Findings,
  earlier: Checkpoint,
  later: Checkpoint,
  relation: ReturnType<typeof compareCheckpoints>,
): void {
  const wrong = wrongRelation(earlier, later, relation);
  if (wrong) addToLog(findings, ...wrong);
}

function wrongRelation(
  { origin, size }: Checkpoint,
  later: Checkpoint,
  relation: ReturnType<typeof compareCheckpoints>,
): [FindingCode, string] | null {
  switch (relation) {
    case 'same':
    case 'grown':
      return null;
    case 'truncated':
      return ['log-truncated', `${origin} had ${size} entries, now it has ${later.size}: it was rolled back`];
    case 'split':
      return ['log-split', `${origin} has signed two trees of size ${size}: it tells two histories (a split view)`];
    case 'rewritten': {
      const message = `${origin} with ${later.size} entries does not begin with the ${size} that it had: it was rewritten, or tells another history to others`;
      return ['log-rewritten', message];
    }
    case 'other-log':
      return ['log-other', `The checkpoint is of ${later.origin}, the earlier one of ${origin}`];
    default:
      return relation satisfies never;
  }
}

/** Notes what is wrong with a log as a whole. */
export function addToLog(findings: Findings, code: FindingCode, message: string): void {
  findings.add({ code, stream: null, version: null, through: null, message });
}
