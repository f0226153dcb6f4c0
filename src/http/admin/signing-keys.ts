import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import type { CommandReply, RefusalReply } from '../../../actors/messages.ts';
import type { SigningKey } from '../../../actors/signing-keys.ts';
import { SIGNING_PURPOSES } from '../../../events/signing-keys.ts';
import { loadKeys, NOT_CONFIGURED } from '../../auth/key-ring.ts';
import { resealKeys, rotateKeys } from '../../auth/key-rotation.ts';
import { TOKEN_LIFE_MAX_MS } from '../../auth/tokens.ts';
import { LOG_KEY_OVERLAP_MS } from '../../log/signing.ts';
import { resealWebhooks } from '../../webhooks/reseal.ts';
import { readOptionalBody } from '../body.ts';
import { causeOf, type Exchange } from '../exchange.ts';
import { problems } from '../operations.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { Answer, AuthenticatedRoute } from '../route.ts';

const PATH = '/v1/admin/signing-keys';

const keySummary = z
  .strictObject({
    kid: z.string().meta({ description: 'The thumbprint of the public key (RFC 7638)' }),
    purpose: z.enum(SIGNING_PURPOSES),
    notBefore: z.iso.datetime().meta({ description: 'When it begins to sign; it verifies at once' }),
    validUntil: z.iso
      .datetime()
      .nullable()
      .meta({ description: 'When what it has signed is good no more; null while no other has taken over' }),
  })
  .meta({ id: 'SigningKey' });

const keysResponse = (description: string) => ({
  description,
  content: { 'application/json': { schema: z.strictObject({ keys: z.array(keySummary) }) } },
});

/** How long what keys of a purpose have signed is good after they were replaced, in milliseconds. */
const OVERLAP_MS = { tokens: TOKEN_LIFE_MAX_MS, log: LOG_KEY_OVERLAP_MS } as const;

const rotateBody = z.strictObject({
  purpose: z.enum(SIGNING_PURPOSES).default('tokens').meta({ description: 'What the keys sign' }),
  compromised: z.boolean().default(false).meta({
    description:
      'A private key may have leaked: the present ones sign no more, and all tokens by them end within a minute',
  }),
});

/** GET /v1/admin/signing-keys */
export const listSigningKeys: AuthenticatedRoute = {
  method: 'GET',
  path: PATH,
  access: 'admin.read',
  operation: {
    operationId: 'listSigningKeys',
    tags: ['administration'],
    summary: 'The keys that sign, or have signed what is still good',
    description: 'Without their private halves, which are encrypted and never leave the service.',
    responses: { 200: keysResponse('The keys, oldest first'), ...problems(400, 401, 403) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    return isProblem(query) ? query : keysAnswer(exchange);
  },
};

/** POST /v1/admin/signing-keys/rotate */
export const rotateSigningKeys: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/rotate`,
  access: 'admin.write',
  operation: {
    operationId: 'rotateSigningKeys',
    tags: ['administration'],
    summary: 'Replace the key that signs tokens, or the transparency log',
    description:
      'The new key is published at once and signs five minutes later; the one before it verifies until the longest ' +
      'token that it may have signed has expired. With `compromised` there is no overlap: every token of the keys ' +
      'before it ends within a minute, in which new ones may be refused too. Checkpoints of the log are signed by both ' +
      'keys for 30 days.',
    requestBody: { required: false, content: { 'application/json': { schema: rotateBody } } },
    responses: { 200: keysResponse('The keys, oldest first'), ...problems(400, 401, 403, 409, 413, 415, 503) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const body = await readOptionalBody(exchange, rotateBody);
    if (isProblem(body)) return body;
    const { purpose, compromised } = body;
    const by = { principal: exchange.principal, cause: causeOf(exchange) };
    return changed(exchange, await rotateKeys(exchange.env, purpose, OVERLAP_MS[purpose], compromised, by));
  },
};

/** POST /v1/admin/signing-keys/reseal */
export const resealSigningKeys: AuthenticatedRoute = {
  method: 'POST',
  path: `${PATH}/reseal`,
  access: 'admin.write',
  operation: {
    operationId: 'resealSigningKeys',
    tags: ['administration'],
    summary: 'Encrypt private keys and the secrets of webhooks anew, under the present KEY_ENCRYPTION_KEY',
    description:
      'After it was replaced, with the one before it in KEY_ENCRYPTION_KEY_PREVIOUS, which can be removed then. The log ' +
      'keeps what was encrypted before: when the old one has leaked, rotate the signing keys as well.',
    responses: { 200: keysResponse('The keys, oldest first'), ...problems(400, 401, 403, 503) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const by = { principal: exchange.principal, cause: causeOf(exchange) };
    const reply = await resealKeys(exchange.env, by);
    if (isProblem(reply) || isRefusal(reply)) return changed(exchange, reply);
    return (await resealWebhooks(exchange.env)) ? changed(exchange, reply) : NOT_CONFIGURED;
  },
};

function changed(exchange: Exchange, reply: CommandReply | RefusalReply | Problem): Answer | Promise<Answer> {
  if (isProblem(reply)) return reply;
  return isRefusal(reply) ? problemOf(reply) : keysAnswer(exchange);
}

async function keysAnswer(exchange: Exchange): Promise<Response> {
  const keys = (await loadKeys(exchange.env, 0)).map(summaryOf);
  return jsonText(exchange, 200, JSON.stringify({ keys }));
}

function summaryOf({ kid, purpose, notBefore, validUntil }: SigningKey): z.infer<typeof keySummary> {
  return { kid, purpose, notBefore, validUntil };
}
