import { z } from 'zod';
import type { ZodOpenApiResponsesObject } from 'zod-openapi';
import { contextBody, tombstone } from './context-schemas.ts';
import { PROBLEMS } from './problem.ts';

/** The pieces that the operations of the OpenAPI document share. */

const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    errors: z.array(z.strictObject({ pointer: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'What went wrong and what to do (RFC 9457)' });

const goneSchema = problemSchema
  .extend({ tombstone })
  .meta({ id: 'GoneProblem', description: 'A problem with what is left of a deleted context' });

const conflictSchema = problemSchema
  .extend({
    conflicts: z
      .array(
        z.strictObject({
          pointer: z.string().meta({ description: 'What was changed, as a pointer into the context' }),
          version: z.int().min(1).meta({ description: 'The event that changed it last' }),
          actor: z.string(),
          time: z.iso.datetime(),
        }),
      )
      .optional(),
  })
  .meta({ id: 'ConflictProblem', description: 'A problem with the changes of others that would be undone' });

/** The header of what has versions. */
export const etagHeader = z.string().meta({ description: 'The version in quotes', examples: ['"3"'] });

export const changeHeaders = z.object({
  ETag: etagHeader,
  'Idempotent-Replayed': z.literal('true').optional().meta({ description: 'This answer was given before' }),
  'Preference-Applied': z.string().optional().meta({ description: 'The change is visible in search, as Prefer asked' }),
});

export const locationHeader = z.object({
  Location: z.string().meta({ description: 'Where it is', examples: ['/v1/contexts/ctx_01JD4Q2W3E4R5T6Y7V8X9Z0ABC'] }),
});

export const ifNoneMatchParameter = z.object({
  'If-None-Match': z
    .string()
    .optional()
    .meta({ description: 'Answer 304 when it still is this version', examples: ['"3"'] }),
});

export const idempotencyParameter = z.object({
  'Idempotency-Key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .meta({ description: 'The same key with the same request gives the same answer and changes nothing twice' }),
  Prefer: z
    .string()
    .optional()
    .meta({ description: 'wait=N: answer when the change is visible in search, after N (1 to 30) seconds at most' }),
});

export const ifMatchParameter = z.object({
  'If-Match': z
    .string()
    .optional()
    .meta({ description: 'Only change this version', examples: ['"3"'] }),
});

/** A parameter that is a version or a time. */
export function momentParameter(description: string) {
  return z.string().meta({ description, examples: ['3', '2026-01-31T12:00:00Z'] });
}

export const atParameter = z.object({
  at: momentParameter('A version, or a time with its zone; after the end, the latest').optional(),
});

/** A JSON request body. */
export function jsonBody(schema: z.ZodType, ...mediaTypes: string[]) {
  const accepted = mediaTypes.length > 0 ? mediaTypes : ['application/json'];
  return { required: true, content: Object.fromEntries(accepted.map((mediaType) => [mediaType, { schema }])) };
}

/** A response with a context. */
export function contextResponse(description: string, headers: z.ZodObject = z.object({ ETag: etagHeader })) {
  return { description, headers, content: { 'application/json': { schema: contextBody } } };
}

/** The response to a change that would undo what others have changed, or that the context's status does not allow. */
export const conflictResponse = {
  description: 'It would undo what others have changed; or: it is deleted',
  content: { 'application/problem+json': { schema: conflictSchema } },
};

/** The problem responses of an operation by status. */
export function problems(...statuses: number[]): ZodOpenApiResponsesObject {
  return Object.fromEntries(
    statuses.map((status) => {
      const titles = Object.values(PROBLEMS)
        .filter((problem) => problem.status === status)
        .map((problem) => problem.title);
      return [
        String(status),
        {
          description: titles.join('; or: '),
          content: { 'application/problem+json': { schema: status === 410 ? goneSchema : problemSchema } },
        },
      ];
    }),
  );
}
