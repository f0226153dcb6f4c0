import { z } from 'zod';
import { connectionDirection, connectionType, failureReason, idleAfterSeconds } from '../../../events/connection.ts';
import { notBlank } from '../../../events/text.ts';

/** Seconds until a connection is idle unless who asks for it says otherwise. */
const IDLE_AFTER_DEFAULT_S = 300;

const end = (what: string) =>
  z
    .string()
    .max(200)
    .meta({ description: what, examples: ['ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] });

/** What a connection is called. */
export const typeField = connectionType.meta({
  description: 'What it is: words of a-z and 0-9 with _ or - between them, at most 50 characters',
  examples: ['depends_on'],
});

/** The body of POST /v1/connections. */
export const createConnectionBody = z
  .strictObject({
    from: end('The context that it leads from, by its id or ChittyID: one that you may change'),
    to: end('The context that it leads to: one that you may read'),
    type: typeField,
    direction: connectionDirection
      .default('directed')
      .meta({ description: 'Whether it leads from one to the other or joins the two' }),
    idleAfterSeconds: idleAfterSeconds
      .default(IDLE_AFTER_DEFAULT_S)
      .meta({ description: 'Seconds without a heartbeat until it is idle; null when it lives without any' }),
  })
  .meta({ id: 'NewConnection' });

/** The body of POST …/heartbeat. */
export const heartbeatBody = z
  .strictObject({
    status: z.enum(['ok', 'failed']).default('ok'),
    reason: failureReason
      .refine(notBlank, 'must not be blank')
      .exactOptional()
      .meta({ description: 'What is wrong, at most 500 characters' }),
  })
  .superRefine(({ status, reason }, context) => {
    if (status === 'failed' && reason === undefined) {
      context.addIssue({ code: 'custom', path: ['reason'], message: 'is required when the status is failed' });
    }
    if (status === 'ok' && reason !== undefined) {
      context.addIssue({ code: 'custom', path: ['reason'], message: 'goes with the status failed' });
    }
  })
  .meta({ id: 'Heartbeat' });

/** What a connection can be. */
export const connectionStatus = z.enum(['pending', 'active', 'idle', 'failed', 'disconnected']);

const shape = {
  id: z.string().meta({ examples: ['con_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
  from: z.string(),
  to: z.string(),
  type: z.string(),
  direction: connectionDirection,
  status: connectionStatus,
  reason: z.string().nullable().meta({ description: 'Why it failed or ended' }),
  idleAfterSeconds: z.int().nullable(),
  createdBy: z.string().meta({ description: 'Who asked for it last' }),
  consentedBy: z.string().nullable(),
  version: z.int().min(1),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime().meta({ description: 'When its status changed last' }),
};

/** A connection in a list. */
export const connectionSummary = z.strictObject(shape).meta({ id: 'ConnectionSummary' });

/** A connection by itself. */
export const connectionBody = z
  .strictObject({
    ...shape,
    lastHeartbeatAt: z.iso
      .datetime()
      .nullable()
      .optional()
      .meta({ description: 'Heartbeats are no events: left out with `at`' }),
  })
  .meta({ id: 'Connection' });

/** What is around a context. */
export const graphBody = z
  .strictObject({
    nodes: z.array(z.strictObject({ id: z.string(), name: z.string(), depth: z.int().min(0).max(4) })),
    edges: z.array(
      connectionSummary.pick({ id: true, from: true, to: true, type: true, direction: true, status: true }),
    ),
    truncated: z.boolean().meta({ description: 'Whether there is more within this depth than is shown' }),
  })
  .meta({ id: 'ContextGraph' });
