import { z } from 'zod';
import type { TreeHead } from '../events/checkpoint.ts';
import { type Finding, type FindingCode, Findings } from '../events/finding.ts';
import type { Line } from '../events/line.ts';
import { EventsVerifier } from '../events/verify-events.ts';
import { ContextReplay } from './context-replay.ts';
import { ServerError } from './errors.ts';
import { readHistory } from './read-history.ts';
import { compareStates, type ReplayedState, stateOf } from './served-states.ts';
import { BUSY, type Server } from './server.ts';
import type { ServedStream } from './streams.ts';

/** What became of one stream. */
export interface StreamAudit {
  readonly stream: string;
  readonly events: number;
  /** States that were compared with the ones that the events lead to: of a context. */
  readonly states: number;
  readonly isShown: boolean;
  readonly isVerified: boolean;
}

/** Whether a stream that is not shown to the caller is one that has to be. */
export interface Claim {
  /** The caller has named it. */
  readonly isNamed: boolean;
  /** The caller may read all there is. */
  readonly isComplete: boolean;
}

/** Events between two states that are compared: a server keeps a snapshot for so many, and each is used by one of them. */
const STATE_EVERY = 100;
/** States of one context that are compared at most, the last among them. */
const STATES_MAX = 200;

/**
 * Audits one stream: every event that the log vouches for, against all the heads that the log has of it, and of a context
 * the states that are served.
 *
 * @param heads those in the log, by rising size
 * @throws {ServerError} when the server cannot be reached, is too busy, or refuses for another reason than the stream
 */
export async function auditStream(
  server: Server,
  stream: ServedStream,
  heads: readonly TreeHead[],
  claim: Claim,
  all: Findings,
): Promise<StreamAudit> {
  const own = new Findings();
  const { name } = stream;
  const newest = heads.at(-1);
  let read: HistoryRead = { events: 0, states: [] };
  let compared = 0;
  let isShown = true;
  if (!newest) own.add(finding('event-unlogged', name, null, 'the log does not name it (yet): nothing vouches for it'));
  else {
    try {
      read = await verifyHistory(server, stream, heads, own);
      // Where events do not fit, the states that follow from them cannot either, and would hide what is wrong.
      if (own.list.length === 0) compared = await compareStates(server, stream.path, name, read.states, own);
    } catch (error) {
      const why = await whyNot(server, stream, error);
      if (!isAboutStream(why.status)) throw why;
      const damage = damageSchema.safeParse(why.body);
      isShown = why.status >= 500;
      if (damage.success) own.add(damageIn(name, damage.data));
      else if (isShown || isMissing(stream, why.status, claim)) {
        own.add(finding('stream-not-given', name, null, `the log has ${newest.size} events of it: ${why.message}`));
      }
    }
  }
  for (const each of own.list) all.add(each);
  all.more += own.more;
  return { stream: name, events: read.events, states: compared, isShown, isVerified: own.list.length === 0 };
}

/** Whether an answer says that a stream is not shown, or cannot be: any other says nothing about it. */
function isAboutStream(status: number | null): status is number {
  return status === 403 || status === 404 || (status !== null && status >= 500 && !BUSY.has(status));
}

/**
 * Whether a stream that is refused has to be there. Who may read all contexts may yet lack the scope for actors, which
 * is said by 403; 404 says that there is none.
 */
function isMissing({ type }: ServedStream, status: number, { isNamed, isComplete }: Claim): boolean {
  return isNamed || (isComplete && (type === 'context' || status !== 403));
}

/** The problem of a server that cannot read events itself (docs/protocol.md). */
const damageSchema = z.object({
  type: z.string().endsWith('/history-damaged'),
  detail: z.string(),
  first: z.int(),
  last: z.int(),
});

function damageIn(stream: string, { detail, first, last }: z.infer<typeof damageSchema>): Finding {
  return { code: 'history-damaged', stream, version: first, through: last, message: `${stream}: ${detail}` };
}

/** Why a history was not given. One that ended in the middle is asked for again: by then the server knows. */
async function whyNot(server: Server, { path }: ServedStream, error: unknown): Promise<ServerError> {
  if (!(error instanceof ServerError)) throw error;
  if (error.status !== null) return error;
  try {
    const response = await server.get(`${path}/events`, 'application/x-ndjson');
    await response.body?.cancel();
    return error;
  } catch (again) {
    return again instanceof ServerError ? again : error;
  }
}

interface HistoryRead {
  readonly events: number;
  readonly states: readonly ReplayedState[];
}

/** Reads the events that the log vouches for, verifies them, and replays those of a context. */
async function verifyHistory(
  server: Server,
  stream: ServedStream,
  heads: readonly TreeHead[],
  findings: Findings,
): Promise<HistoryRead> {
  const { name, type } = stream;
  const size = heads.at(-1)?.size ?? 0;
  const verifier = new EventsVerifier(
    name,
    heads.map((head) => ({ ...head, from: 'log' as const })),
    findings,
  );
  const replay = new ContextReplay();
  const states: ReplayedState[] = [];
  const every = STATE_EVERY * Math.ceil(size / STATE_EVERY / STATES_MAX);
  let isReplayed = type === 'context';
  await readHistory(server, stream, size, (line: Line) => {
    verifier.event(line);
    if (!isReplayed || findings.list.length > 0) return;
    const unfit = replay.step(line.text);
    if (unfit) {
      isReplayed = false;
      findings.add(finding('state-differs', name, replay.version + 1, `it cannot be replayed: ${unfit.fault}`));
    } else if (replay.version % every === 0 || replay.version === size) {
      const { view } = replay;
      if (view) states.push(stateOf(view));
    }
  });
  verifier.end();
  return { events: verifier.size, states };
}

function finding(code: FindingCode, stream: string, version: number | null, what: string): Finding {
  const where = `${stream}${version === null ? '' : ` version ${version}`}: `;
  return { code, stream, version, through: null, message: where + what };
}
