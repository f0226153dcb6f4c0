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

const etagHeader = z.string().meta({ description: 'The version in quotes', examples: ['"3"'] });

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

export const atParameter = z.object({
  at: z
    .string()
    .optional()
    .meta({ description: 'A version, or a time with its zone; after the end, the latest', examples: ['3'] }),
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
