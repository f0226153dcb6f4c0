import { z } from 'zod';
import type { LogTrust } from '../client/checkpoints.ts';
import { auditLog } from '../client/log-audit.ts';
import { ByteLines } from '../events/byte-lines.ts';
import type { Checkpoint, TreeHead } from '../events/checkpoint.ts';
import { type Finding, type FindingCode, Findings } from '../events/finding.ts';
import { EventsVerifier } from '../events/verify-events.ts';
import { ContextReplay } from './context-replay.ts';
import { ServerError } from './errors.ts';
import { compareStates, type ReplayedState, stateOf } from './served-states.ts';
import { chunksOf, type Server } from './server.ts';

/** What of a server is audited. */
export interface Scope {
  /** Only these contexts; all that the log names when it is empty. */
  readonly contexts: readonly string[];
  /** Whether the caller may read all contexts, so that one that is not shown is missing. */
  readonly isComplete: boolean;
}

/** What became of the audit of a server; what was found is in the findings that it was given. */
export interface ServerAudit {
  readonly checkpoint: Checkpoint | null;
  readonly streams: number;
  readonly events: number;
  /** States that were compared with the ones that the events lead to. */
  readonly states: number;
  /** Contexts that the log names and the caller is not shown. */
  readonly notShown: number;
}

/** What became of one context. */
export interface ContextAudit {
  readonly stream: string;
  readonly events: number;
  readonly states: number;
  readonly isShown: boolean;
  readonly isVerified: boolean;
}

/** Contexts that are audited at the same time. */
const AT_ONCE = 4;

/** Events between two states that are compared: a server keeps a snapshot for so many, and each is used by one of them. */
const STATE_EVERY = 100;
/** States of one context that are compared at most, the last among them. */
const STATES_MAX = 200;

/**
 * Audits a server from outside: its whole log, then of each context every event that the log vouches for, against all the
 * heads that the log has of it; and the states that are served against those that the events lead to. It needs no proof
 * from the server but the log itself.
 *
 * @throws {ServerError} when the server cannot be reached, or refuses the credential
 */
export async function auditServer(
  server: Server,
  trust: LogTrust,
  scope: Scope,
  findings: Findings,
  told: { progress(share: number, what: string): void; context(audit: ContextAudit): void },
): Promise<ServerAudit> {
  const { checkpoint, streams } = await auditLog(server, trust, findings, (read, size) =>
    told.progress((read / size) * 0.1, `${read} of ${size} entries of the log`),
  );
  const named = scope.contexts.map((id) => `context/${id}`);
  const wanted = named.length > 0 ? named : [...streams.keys()].filter((stream) => stream.startsWith('context/'));
  if (checkpoint === null && findings.list.length === 0) {
    findings.add(finding('log-not-compared', null, null, 'There is no log (yet): nothing vouches for what is served'));
  }
  const totals = { streams: 0, events: 0, states: 0, notShown: 0 };
  const queue = wanted.values();
  let done = 0;
  const audit = async () => {
    for (const stream of queue) {
      const audited = await auditContext(server, stream, streams.get(stream) ?? [], scope, findings);
      done++;
      if (audited.isShown) totals.streams++;
      else totals.notShown++;
      totals.events += audited.events;
      totals.states += audited.states;
      told.context(audited);
      told.progress(0.1 + (done / wanted.length) * 0.9, `${done} of ${wanted.length} contexts`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, audit));
  return { checkpoint, ...totals };
}

async function auditContext(
  server: Server,
  stream: string,
  heads: readonly TreeHead[],
  scope: Scope,
  all: Findings,
): Promise<ContextAudit> {
  const own = new Findings();
  const newest = heads.at(-1);
  const isNamed = scope.contexts.length > 0;
  const path = `v1/contexts/${stream.slice(stream.indexOf('/') + 1)}`;
  let read: HistoryRead = { events: 0, states: [] };
  let compared = 0;
  let isShown = true;
  if (!newest)
    own.add(finding('event-unlogged', stream, null, 'the log does not name it (yet): nothing vouches for it'));
  else {
    try {
      read = await readHistory(server, path, stream, heads, own);
      // Where events do not fit, the states that follow from them cannot either, and would hide what is wrong.
      if (own.list.length === 0) compared = await compareStates(server, path, stream, read.states, own);
    } catch (error) {
      const why = await whyNot(server, path, error);
      if (why.status === null || why.status === 401) throw why;
      const damage = damageSchema.safeParse(why.body);
      isShown = why.status >= 500;
      if (damage.success) own.add(damageIn(stream, damage.data));
      else if (isShown || isNamed || scope.isComplete) {
        own.add(finding('stream-not-given', stream, null, `the log has ${newest.size} events of it: ${why.message}`));
      }
    }
  }
  for (const each of own.list) all.add(each);
  all.more += own.more;
  const isVerified = own.list.length === 0;
  return { stream, events: read.events, states: compared, isShown, isVerified };
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
async function whyNot(server: Server, path: string, error: unknown): Promise<ServerError> {
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

/** Reads the events that the log vouches for, verifies them, and replays them. */
async function readHistory(
  server: Server,
  path: string,
  stream: string,
  heads: readonly TreeHead[],
  findings: Findings,
): Promise<HistoryRead> {
  const size = heads.at(-1)?.size ?? 0;
  const response = await server.get(`${path}/events?at=${size}`, 'application/x-ndjson');
  const verifier = new EventsVerifier(
    stream,
    heads.map((head) => ({ ...head, from: 'log' as const })),
    findings,
  );
  const replay = new ContextReplay();
  const states: ReplayedState[] = [];
  const every = STATE_EVERY * Math.ceil(size / STATE_EVERY / STATES_MAX);
  let isReplayed = true;
  const lines = new ByteLines((line) => {
    verifier.event(line);
    if (!isReplayed || findings.list.length > 0) return;
    const unfit = replay.step(line.text);
    if (unfit) {
      isReplayed = false;
      findings.add(finding('state-differs', stream, replay.version + 1, `it cannot be replayed: ${unfit.fault}`));
    } else if (replay.version % every === 0 || replay.version === size) {
      const { view } = replay;
      if (view) states.push(stateOf(view));
    }
  });
  for await (const chunk of chunksOf(response)) if (!lines.push(chunk)) break;
  lines.end();
  verifier.end();
  return { events: verifier.size, states };
}

/** A finding about a stream. */
function finding(code: FindingCode, stream: string | null, version: number | null, what: string) {
  const where = stream === null ? '' : `${stream}${version === null ? '' : ` version ${version}`}: `;
  return { code, stream, version, through: null, message: where + what };
}
