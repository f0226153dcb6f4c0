import type { Sink } from '../../actors/outbox.ts';
import type { Envelope } from '../../events/envelope.ts';
import { auditRowOf, projectAudit } from '../../projections/audit.ts';

/** What the destination is called. */
export const AUDIT_DESTINATION = 'audit';

/** How far the audit trail may lag behind a stream that changes all the time: the longer, the more events share a query. */
const INTERVAL_MS = 10_000;

/** The sink that keeps the audit trail in D1: a row for each event. Every stream has one. */
export function auditSink(db: D1Database): Sink<unknown> {
  return {
    destinations: [AUDIT_DESTINATION],
    intervalMs: INTERVAL_MS,
    isReady: () => true,
    async deliver({ version, events }) {
      const read = events();
      await projectAudit(
        db,
        read.map(({ text }) => {
          const envelope: Envelope = JSON.parse(text);
          return auditRowOf(envelope);
        }),
      );
      return { confirmed: read.at(-1)?.version ?? version };
    },
  };
}
