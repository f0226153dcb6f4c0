import { type AuditEvent, auditEvents, auditUpcasters } from '../events/audit.ts';
import { relationToService } from './access.ts';
import { type AuditCommand, type AuditState, auditDecider } from './audit.ts';
import { isRefusal } from './decider.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { CommandRequest, Ports } from './messages.ts';
import { RefusalCap, WINDOW_MS } from './refusal-cap.ts';
import type { StreamType } from './stream-type.ts';

const auditStream: StreamType<AuditState, AuditCommand, AuditEvent> = {
  name: 'audit',
  reading: { read: 'admin.read', history: 'admin.read', watch: 'admin.read' },
  actionOf: () => 'audit.record',
  relation: relationToService,
  changesRelations: () => false,
  decider: auditDecider,
  events: auditEvents,
  upcasters: auditUpcasters,
  stateSchema: 1,
  view: (record) => record,
  isBookkeeping: () => false,
  isClosed: () => false,
};

/** Something to record, in the name of the one who did it. */
export interface AuditRequest extends CommandRequest<AuditCommand> {
  /** By what callers are told apart, so that no one's flood of refusals is recorded one by one. */
  readonly caller: string;
  /** What is said at most once a minute; null for what is always said. */
  readonly once: string | null;
}

/** What some callers were refused, and what they were given to read, on one day; `src/objects.ts` connects it. */
export class AuditActor extends EventSourcedObject<AuditState, AuditCommand, AuditEvent, unknown> {
  readonly #cap = new RefusalCap();

  constructor(context: DurableObjectState, env: unknown, ports: Ports<AuditState, AuditCommand>) {
    super(context, env, auditStream, ports);
  }

  /** Records what happened, unless it was said a moment ago or there is too much of it. @returns when it is on disk */
  async record({ caller, once, ...request }: AuditRequest): Promise<void> {
    const now = Date.now();
    if (once !== null && !this.#cap.isNew(once, now)) return;
    const course = request.command.type === 'access_refused' ? this.#cap.note(caller, now) : 'record';
    if (course === 'record') await this.#append(request);
    // An object with a timer stays in memory, as long as the platform does.
    if (course === 'begin-to-count') setTimeout(() => this.#tellCount(caller, request), WINDOW_MS);
  }

  async #append(request: CommandRequest<AuditCommand>): Promise<void> {
    const reply = await this.execute(request);
    if (isRefusal(reply)) throw new Error(`the audit trail was refused: ${reply.detail}`);
  }

  #tellCount(caller: string, request: CommandRequest<AuditCommand>): void {
    const { count, since } = this.#cap.end(caller);
    const data = { count, since: new Date(since).toISOString() };
    // What cannot be written now was not recorded one by one either.
    this.#append({ ...request, command: { type: 'refusals_counted', data } }).catch(() => undefined);
  }
}
