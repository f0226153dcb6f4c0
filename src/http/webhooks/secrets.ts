import { newId } from '../../../events/id.ts';
import { SECRET_PREFIX } from '../../../events/webhook.ts';
import { sealerOf } from '../../auth/sealing.ts';
import { newSecret, secretText } from '../../webhooks/message.ts';
import { secretLabel } from '../../webhooks/post.ts';
import { readOptionalBody } from '../body.ts';
import { headersOf } from '../change.ts';
import type { Exchange } from '../exchange.ts';
import { changeHeaders, ifMatchParameter, jsonBody, problems } from '../operations.ts';
import { isProblem, type Problem } from '../problem.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { addressed, change, credentialEnd, WEBHOOK_PATH } from './address.ts';
import { rotateSecretBody, webhookWithSecret } from './schemas.ts';

/** A secret that was just made. */
interface NewSecret {
  readonly id: string;
  /** As its owner gets it, once. */
  readonly text: string;
  /** As it is kept. */
  readonly sealed: string;
}

const NOT_CONFIGURED: Problem = {
  problem: 'not-configured',
  detail: 'Secrets of webhooks cannot be kept: the secret KEY_ENCRYPTION_KEY is missing (README, "Signing keys").',
};

/** Makes a secret for a webhook; a problem where none can be kept. */
export async function newSealedSecret({ env }: Exchange, webhook: string): Promise<NewSecret | Problem> {
  const sealer = await sealerOf(env);
  if (sealer === null) return NOT_CONFIGURED;
  const id = newId(SECRET_PREFIX, Date.now());
  const secret = newSecret();
  return { id, text: secretText(secret), sealed: await sealer.seal(secret, secretLabel(webhook, id)) };
}

/** POST /v1/webhooks/{id}/secrets */
export const rotateWebhookSecret: AuthenticatedRoute = {
  method: 'POST',
  path: `${WEBHOOK_PATH}/secrets`,
  access: 'webhook.change',
  operation: {
    operationId: 'rotateWebhookSecret',
    tags: ['webhooks'],
    summary: 'Put a new secret in the place of the present one',
    description:
      'It is shown once. For a day, unless `overlapSeconds` says otherwise, the ones before it sign beside it: the header ' +
      'webhook-signature then has several signatures with spaces between, of which a receiver needs one. When one has ' +
      'leaked, let them end at once with 0. The webhook ends no later than the credential that gets it the secret.',
    requestParams: { header: ifMatchParameter },
    requestBody: { ...jsonBody(rotateSecretBody), required: false },
    responses: {
      201: {
        description: 'The webhook and its new secret',
        headers: changeHeaders,
        content: { 'application/json': { schema: webhookWithSecret } },
      },
      ...problems(400, 401, 403, 404, 409, 412, 413, 415, 503),
    },
  },
  async handle(exchange) {
    const body = await readOptionalBody(exchange, rotateSecretBody);
    if (isProblem(body)) return body;
    const id = addressed(exchange);
    if (isProblem(id)) return id;
    const secret = await newSealedSecret(exchange, id);
    if (isProblem(secret)) return secret;
    const now = Date.now();
    const command = {
      type: 'rotateSecret' as const,
      secret: secret.id,
      othersEndAt: new Date(now + body.overlapSeconds * 1000).toISOString(),
      at: new Date(now).toISOString(),
      credentialEndsAt: await credentialEnd(exchange),
    };
    const reply = await change(exchange, command, (object, request) => object.rotateSecret(request, secret.sealed));
    if (isProblem(reply)) return reply;
    const webhook: object = JSON.parse(reply.body);
    return jsonText(exchange, 201, JSON.stringify({ ...webhook, secret: secret.text }), headersOf(reply));
  },
};
