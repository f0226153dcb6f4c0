import { z } from 'zod';
import { NOTE_PREFIX } from '../../events/context-collaboration.ts';
import { readBody } from './body.ts';
import {
  atParameter,
  changeHeaders,
  idempotencyParameter,
  ifMatchParameter,
  jsonBody,
  problems,
} from './operations.ts';
import { endPart, listed, makePart, newPartId, pathPart, showPart } from './parts.ts';
import { isProblem } from './problem.ts';
import type { AuthenticatedRoute } from './route.ts';
import { noteBody, textBody } from './sharing-schemas.ts';

const PATH = '/v1/contexts/:id/notes';

const conditions = { header: idempotencyParameter.extend(ifMatchParameter.shape) };

/** POST /v1/contexts/{id}/notes */
export const addNote: AuthenticatedRoute = {
  method: 'POST',
  path: PATH,
  access: 'context.note',
  operation: {
    operationId: 'addNote',
    tags: ['collaboration'],
    summary: 'Write a note on a context',
    description: 'Owners and editors. It changes nothing else of the context.',
    requestParams: conditions,
    requestBody: jsonBody(textBody),
    responses: {
      201: { description: 'The note', headers: changeHeaders, content: { 'application/json': { schema: noteBody } } },
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 422),
    },
  },
  async handle(exchange) {
    const body = await readBody(exchange, textBody);
    if (isProblem(body)) return body;
    const note = await newPartId(exchange, NOTE_PREFIX);
    return isProblem(note) ? note : makePart(exchange, { type: 'addNote', note, text: body.text });
  },
};

/** GET /v1/contexts/{id}/notes */
export const listNotes: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'context.read',
  operation: {
    operationId: 'listNotes',
    tags: ['collaboration'],
    summary: 'The newest notes on a context, as they are or as they were',
    description: 'At most 100, and 48 KiB of them; `at` shows the older ones, which are in the history too.',
    requestParams: { query: atParameter },
    responses: {
      200: {
        description: 'The notes, oldest first',
        content: { 'application/json': { schema: z.strictObject({ items: z.array(noteBody) }) } },
      },
      ...problems(400, 401, 403, 404),
    },
  },
  handle(exchange) {
    return showPart(exchange, (object, moment) => object.notes(exchange.principal, moment), listed);
  },
};

/** DELETE /v1/contexts/{id}/notes/{note} */
export const removeNote: AuthenticatedRoute = {
  method: 'DELETE',
  path: `${PATH}/:note`,
  access: 'context.note',
  operation: {
    operationId: 'removeNote',
    tags: ['collaboration'],
    summary: 'Take a note off',
    description: 'Its author, or an owner. The history keeps that it was there.',
    requestParams: conditions,
    responses: {
      204: { description: 'It is off', headers: changeHeaders },
      ...problems(400, 401, 403, 404, 409, 412, 422),
    },
  },
  handle(exchange) {
    return endPart(exchange, { type: 'removeNote', note: pathPart(exchange, 'note') });
  },
};
