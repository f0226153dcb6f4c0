import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import { type DelegationLink, SYSTEM } from '../../../actors/principal.ts';
import { delegatorOf } from '../../../events/delegation.ts';
import type { AuditRow } from '../../../projections/audit-entries.ts';
import type { Env } from '../../env.ts';

const link = z.strictObject({
  id: z.string().meta({ description: 'GET /v1/delegate/{id} tells more of it' }),
  by: z.string().meta({ description: 'Who handed the rights on' }),
});

export const auditEntry = z
  .strictObject({
    id: z
      .string()
      .meta({ description: 'The id of the event that this entry is, or of the first of them; in the order of time' }),
    time: z.iso.datetime(),
    lastTime: z.iso.datetime().meta({ description: 'Of the last of them, within the same minute' }),
    occurrences: z.int().meta({
      description: 'How many events this entry is: changes that are alike in all that it says. Mostly 1',
    }),
    outcome: z.enum(['allowed', 'refused']),
    action: z.string().meta({
      description: 'What happened (the type of the event), or what was asked for',
      examples: ['context_updated', 'context.read'],
    }),
    actor: z.string().meta({ description: '`act_unknown` when nobody knows who it was' }),
    onBehalfOf: z.string().nullable().meta({ description: 'Whose rights the actor used, when they were another’s' }),
    credential: z.string().nullable().meta({ description: 'The id of the key, session or delegation' }),
    chain: z.array(link).meta({ description: 'How the rights came to the actor, from whom they belong to on' }),
    stream: z
      .string()
      .nullable()
      .meta({ description: 'What it was about', examples: ['context/ctx_…'] }),
    origin: z.string().nullable().meta({ description: 'The network that it came from' }),
    commandId: z.string().meta({ description: 'Of the first' }),
    correlationId: z.string().meta({ description: 'The trace id, or the X-Request-Id; of the first' }),
    log: z.string().meta({ description: 'The stream that the event stands in' }),
    version: z.int().meta({ description: 'Its place there; of several, that of the first' }),
    lastVersion: z.int().meta({
      description: 'The place of the last; what is between them and not alike is in other entries',
    }),
    type: z.string().optional().meta({ description: 'The type of the event, where it is no change' }),
    fields: z.array(z.string()).optional().meta({
      description: 'Of a change: the fields of the event. Of a refusal: where the input was wrong. Never values',
    }),
    about: z.array(z.string()).optional().meta({ description: 'Of a change: whom and what it names, by their ids' }),
    operation: z.string().optional().meta({ description: 'The operation of this document that was asked for' }),
    presented: z.string().optional().meta({ description: 'What kind of credential was shown' }),
    status: z.int().optional(),
    reason: z.string().optional().meta({ description: 'Why it was refused, or why a read is kept' }),
    policy: z.string().nullable().optional().meta({ description: 'Which limit was exceeded' }),
    count: z
      .int()
      .optional()
      .meta({ description: 'Refusals that are in no entry of their own, because they were many' }),
    since: z.iso.datetime().optional(),
  })
  .meta({ id: 'AuditEntry', description: 'Who did what, when, by which rights, from where, and whether they could' });

/** An entry as it is answered. */
type AuditEntry = z.infer<typeof auditEntry>;

const detailSchema = auditEntry
  .pick({
    log: true,
    version: true,
    type: true,
    fields: true,
    about: true,
    operation: true,
    presented: true,
    status: true,
    reason: true,
    policy: true,
    count: true,
    since: true,
  })
  .extend({ chain: z.array(z.string()).optional() });

/** Chains by the id of their last delegation: what was handed on how never changes. */
const chains = new Map<string, readonly DelegationLink[]>();

/** Chains that are remembered before all are forgotten. */
const CHAINS_MAX = 1_000;

/** Writes entries as they are answered, with the chains of delegations back to whom the rights belong to. */
export async function entriesOf(env: Env, rows: readonly AuditRow[]): Promise<AuditEntry[]> {
  const used = new Set(rows.flatMap(({ credential }) => (credential?.startsWith('dlg_') ? [credential] : [])));
  const found = new Map(await Promise.all([...used].map(async (id) => [id, await chainOf(env, id)] as const)));
  return rows.map((row) => {
    const { chain: _ids, ...detail } = detailSchema.parse(JSON.parse(row.detail));
    return {
      id: row.id,
      time: row.time,
      lastTime: row.last_time ?? row.time,
      occurrences: row.occurrences ?? 1,
      outcome: row.outcome,
      action: row.action,
      actor: row.actor,
      onBehalfOf: row.subject,
      credential: row.credential,
      chain: [...(found.get(row.credential ?? '') ?? [])],
      stream: row.stream,
      origin: row.origin,
      commandId: row.command_id,
      correlationId: row.correlation_id,
      ...detail,
      lastVersion: row.last_version ?? detail.version,
    };
  });
}

async function chainOf(env: Env, delegation: string): Promise<readonly DelegationLink[]> {
  const known = chains.get(delegation);
  if (known) return known;
  const by = delegatorOf(delegation);
  if (by === null) return [];
  const record = await env.ACTORS.get(env.ACTORS.idFromName(by)).delegation(SYSTEM, delegation);
  if (isRefusal(record)) return [];
  const chain = [...record.chain.map((each) => ({ id: each.id, by: each.by })), { id: delegation, by }];
  if (chains.size >= CHAINS_MAX) chains.clear();
  chains.set(delegation, chain);
  return chain;
}
