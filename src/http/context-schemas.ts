import { z } from 'zod';
import { ROLES } from '../../actors/access.ts';
import type { Moment } from '../../actors/decider.ts';
import { REVERTIBLE_FIELDS } from '../../actors/revert.ts';
import {
  contextDescription,
  contextLabel,
  contextLabels,
  contextMetadata,
  contextName,
  provisioningStep,
} from '../../events/context.ts';
import { privacyRules } from '../../events/context-privacy.ts';
import { isProblem } from './problem.ts';
import { MOMENT, readMoment } from './query.ts';

const name = z
  .string()
  .trim()
  .pipe(contextName)
  .meta({ description: 'What people call it; trimmed, not blank, at most 200 characters', examples: ['Q3 planning'] });
const labels = contextLabels(z.string().trim().pipe(contextLabel));
const description = contextDescription.meta({ description: 'At most 10,000 characters' });
const systems = labels.meta({ description: 'Systems it works with, at most 100, each once', examples: [['github']] });
const tools = labels.meta({ description: 'Tools it uses, at most 100, each once', examples: [['linear']] });
const metadata = contextMetadata.meta({
  description: 'Any JSON object of at most 64 KiB and 16 levels',
  override: { type: 'object', additionalProperties: true },
  examples: [{ priority: 2 }],
});

/** The body of POST /v1/contexts. */
export const createContextBody = z
  .strictObject({
    name,
    description: description.default(''),
    owner: z
      .string()
      .optional()
      .meta({ description: 'The actor it belongs to: only your own id, which is the default' }),
    systems: systems.default([]),
    tools: tools.default([]),
    metadata: metadata.default({}),
    privacy: privacyRules
      .exactOptional()
      .meta({ description: 'What of the metadata is whose words, from the beginning: see PUT …/privacy' }),
  })
  .meta({ id: 'NewContext' });

/** The body of PATCH /v1/contexts/{id}: a JSON Merge Patch (RFC 7396), in which null means "back to the default". */
export const patchContextBody = z
  .strictObject({
    name: name.exactOptional(),
    description: description
      .nullable()
      .transform((text) => text ?? '')
      .exactOptional(),
    systems: systems
      .nullable()
      .transform((items) => items ?? [])
      .exactOptional(),
    tools: tools
      .nullable()
      .transform((items) => items ?? [])
      .exactOptional(),
    metadata: metadata.nullable().exactOptional(),
  })
  .meta({
    id: 'ContextPatch',
    description:
      'A JSON Merge Patch (RFC 7396): only the members to change. Objects in metadata merge, null removes a member; ' +
      'description, systems, tools and metadata become empty when they are null.',
  });

const moment = z
  .union([z.int(`must be ${MOMENT}`).min(1, `must be ${MOMENT}`), z.string()], `must be ${MOMENT}`)
  .transform((value, context): Moment => {
    if (typeof value === 'number') return { version: value };
    const read = readMoment('to', value);
    if (!isProblem(read)) return read;
    context.addIssue({ code: 'custom', message: `must be ${MOMENT}` });
    return z.NEVER;
  })
  .meta({
    description: 'A version, or a time with its zone',
    override: { anyOf: [{ type: 'integer', minimum: 1 }, { type: 'string' }] },
    examples: [3, '2026-01-31T12:00:00Z'],
  });

/** The body of POST /v1/contexts/{id}/revert. */
export const revertContextBody = z
  .strictObject({
    to: moment,
    fields: z
      .array(z.enum(REVERTIBLE_FIELDS))
      .min(1, 'must name a field; leave it out for all')
      .max(REVERTIBLE_FIELDS.length)
      .exactOptional()
      .meta({ description: 'Bring back only these; all when left out' }),
    onConflict: z
      .enum(['refuse', 'overwrite'])
      .default('refuse')
      .meta({ description: 'What to do when somebody else has changed since what would be brought back' }),
  })
  .meta({ id: 'Revert' });

const stepState = z.strictObject({
  status: z.enum(['done', 'failed']),
  at: z.iso.datetime(),
  reference: z.string().optional().meta({ description: 'The id that the other service gave out' }),
  attempt: z.int().optional(),
  reason: z.string().optional(),
  retryAt: z.iso.datetime().optional(),
});

const memberBody = z
  .strictObject({ actor: z.string(), role: z.enum(ROLES), since: z.iso.datetime() })
  .meta({ id: 'Member' });

/** A context as clients see it. */
export const contextBody = z
  .strictObject({
    id: z.string().meta({ examples: ['ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
    chittyId: z.string().nullable().meta({ description: 'Null until the ChittyID authority has given it one' }),
    name: z.string(),
    description: z.string(),
    owner: z.string(),
    members: z.array(memberBody).meta({ description: 'Who may do what with it' }),
    systems: z.array(z.string()),
    tools: z.array(z.string()),
    metadata: z.record(z.string(), z.unknown()),
    status: z.enum(['active', 'deleted']),
    version: z.int().min(1).meta({ description: 'The number of its events; the ETag is this in quotes' }),
    createdAt: z.iso.datetime(),
    updatedAt: z.iso.datetime(),
    provisioning: z
      .strictObject({
        status: z.enum(['pending', 'failing', 'complete']),
        steps: z.partialRecord(provisioningStep, stepState),
      })
      .meta({ description: 'How far its place in ChittyOS has been made; it can be used all the while' }),
  })
  .meta({ id: 'Context' });

/** What is left of a deleted context. */
export const tombstone = z
  .strictObject({ id: z.string(), version: z.int(), deletedAt: z.iso.datetime(), history: z.string() })
  .meta({ id: 'Tombstone' });
