import { addToLog, type LogTrust } from '../client/checkpoints.ts';
import { auditLog } from '../client/log-audit.ts';
import type { Checkpoint } from '../events/checkpoint.ts';
import type { Findings } from '../events/finding.ts';
import { auditStream, type StreamAudit } from './audit-stream.ts';
import type { Server } from './server.ts';
import { type ServedStream, servedStream } from './streams.ts';

/** What of a server is audited. */
export interface Scope {
  /** Only these streams; when it is empty, all that the log names. */
  readonly streams: readonly ServedStream[];
  /** Whether the caller may read all there is, so that what is not shown is missing. */
  readonly isComplete: boolean;
}

/** What became of the audit of a server; what was found is in the findings that it was given. */
export interface ServerAudit {
  readonly checkpoint: Checkpoint | null;
  readonly streams: number;
  readonly events: number;
  /** States that were compared with the ones that the events lead to. */
  readonly states: number;
  /** Streams that the log names and the caller is not shown. */
  readonly notShown: number;
  /** Streams that the log names and whose events nobody is given, counted by their type: only their heads are known. */
  readonly notLookedAt: Readonly<Record<string, number>>;
}

/** Streams that are audited at the same time. */
const AT_ONCE = 4;

/**
 * Audits a server from outside: its whole log, then of each context, actor and connection every event that the log vouches
 * for, against all the heads that the log has of it; and the states of contexts that are served against those that the
 * events lead to. It needs no proof from the server but the log itself.
 *
 * @throws {ServerError} when the server cannot be reached, is too busy, or refuses the credential
 */
export async function auditServer(
  server: Server,
  trust: LogTrust,
  scope: Scope,
  findings: Findings,
  told: { progress(share: number, what: string): void; stream(audit: StreamAudit): void },
): Promise<ServerAudit> {
  const { checkpoint, streams } = await auditLog(server, trust, findings, (read, size) =>
    told.progress((read / size) * 0.1, `${read} of ${size} entries of the log`),
  );
  if (checkpoint === null && findings.list.length === 0) {
    addToLog(findings, 'log-not-compared', 'There is no log (yet): nothing vouches for what is served');
  }
  const isNamed = scope.streams.length > 0;
  const { served, notLookedAt } = isNamed ? { served: scope.streams, notLookedAt: {} } : divide(streams.keys());
  const totals = { streams: 0, events: 0, states: 0, notShown: 0 };
  const queue = served.values();
  const claim = { isNamed, isComplete: scope.isComplete };
  let done = 0;
  let hasFailed = false;
  const audit = async () => {
    for (const stream of queue) {
      if (hasFailed) return;
      const audited = await auditStream(server, stream, streams.get(stream.name) ?? [], claim, findings).catch(
        (error) => {
          hasFailed = true;
          throw error;
        },
      );
      done++;
      if (audited.isShown) totals.streams++;
      else totals.notShown++;
      totals.events += audited.events;
      totals.states += audited.states;
      told.stream(audited);
      told.progress(0.1 + (done / served.length) * 0.9, `${done} of ${served.length} streams`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, audit));
  return { checkpoint, ...totals, notLookedAt };
}

/** Tells the streams whose events can be asked for from those of which the log has no more than heads. */
function divide(names: Iterable<string>): { served: ServedStream[]; notLookedAt: Record<string, number> } {
  const served: ServedStream[] = [];
  const others = new Map<string, number>();
  for (const name of names) {
    const stream = servedStream(name);
    if (stream) served.push(stream);
    else {
      const type = name.slice(0, name.indexOf('/'));
      others.set(type, (others.get(type) ?? 0) + 1);
    }
  }
  return { served, notLookedAt: Object.fromEntries([...others].sort(([a], [b]) => (a < b ? -1 : 1))) };
}
