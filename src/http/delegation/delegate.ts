import { z } from 'zod';
import { isWithin } from '../../../actors/actor-delegations.ts';
import { BOOTSTRAP_KEY } from '../../../actors/actor-sessions.ts';
import { isRefusal } from '../../../actors/decider.ts';
import type { DelegationRecord } from '../../../actors/delegation-record.ts';
import { type Principal, SYSTEM } from '../../../actors/principal.ts';
import { canonicalText } from '../../../events/canonical.ts';
import { delegationId } from '../../../events/delegation.ts';
import { sha256Hex } from '../../../events/hash.ts';
import { accessView, freshAccessView } from '../../auth/access-views.ts';
import { bootstrapKeyId } from '../../auth/bootstrap-key.ts';
import { signerOf } from '../../auth/key-ring.ts';
import { type ActClaim, mintToken } from '../../auth/tokens.ts';
import type { Env } from '../../env.ts';
import { actorObject, executeOn } from '../actors/address.ts';
import { readBody } from '../body.ts';
import { readIdempotencyKey } from '../conditions.ts';
import { idempotencyParameter, jsonBody, locationHeader, problems } from '../operations.ts';
import { invalid, isProblem, type Problem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { AuthenticatedRoute } from '../route.ts';
import { delegateBody, delegationBody, NO_SUCH_ACTOR } from './schemas.ts';

type Body = z.infer<typeof delegateBody>;

/** Another credential of the same actor may have asked before; its delegation is found again by the key alone. */
const MADE_WITH_MORE: Problem = {
  problem: 'forbidden',
  detail:
    'The delegation that this Idempotency-Key has made is good for more than the credential that you use now. Use the ' +
    'one that made it, or another Idempotency-Key.',
};

/** POST /v1/delegate */
export const delegate: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/delegate',
  access: 'delegation.grant',
  operation: {
    operationId: 'delegate',
    tags: ['delegation'],
    summary: 'Let another actor act with a part of your rights',
    description:
      'Gives a token that only opens what your own credential opens, for at most 24 hours, and ends with that. What was ' +
      'handed to you with the scope `delegate` can be handed on, five times in a row at most. The token is not kept; with ' +
      'an Idempotency-Key the same request gives one for the same delegation, to a credential that could have made it.',
    requestParams: { header: idempotencyParameter.omit({ Prefer: true }) },
    requestBody: jsonBody(delegateBody),
    responses: {
      201: {
        description: 'The delegation and its token',
        headers: locationHeader,
        content: {
          'application/json': {
            schema: delegationBody.extend({
              token: z
                .string()
                .meta({ description: 'A JWT (RFC 9068), to be sent as "Authorization: Bearer <token>"' }),
            }),
          },
        },
      },
      ...problems(400, 401, 403, 409, 413, 415, 422, 503),
    },
  },
  async handle(exchange) {
    const { env, principal, request } = exchange;
    const query = readQuery(request, []);
    if (isProblem(query)) return query;
    const key = readIdempotencyKey(request.headers);
    if (isProblem(key)) return key;
    const body = await readBody(exchange, delegateBody);
    if (isProblem(body)) return body;
    const refusal = (await refuseRecipient(env, body.to)) ?? (await refuseToSign(env));
    if (refusal) return refusal;
    const by = principal.actor;
    const now = Date.now();
    const id = delegationId(by, now, key === undefined ? undefined : `${by} ${key}`);
    const command = commandOf(id, body, madeWith(env, principal), now);
    const fingerprint = sha256Hex(canonicalText({ ...body }));
    const conditions = key === undefined ? {} : { idempotency: { key: `${by} ${key}`, fingerprint } };
    const reply = await executeOn(exchange, by, command, conditions);
    if (isRefusal(reply)) return problemOf(reply);
    const record = await actorObject(exchange, by).delegation(SYSTEM, id);
    if (isRefusal(record)) return problemOf(record);
    if (reply.replayed && !isWithin(record, principal, await accessView(env, by))) return MADE_WITH_MORE;
    const token = await mintToken(env, claimsOf(record), record.to);
    if (isProblem(token)) return token;
    const answer: z.infer<typeof delegationBody> & { token: string } = { ...bodyOf(record), token };
    return jsonText(exchange, 201, JSON.stringify(answer), { Location: `/v1/delegate/${id}` });
  },
};

/** Nothing is handed to who is not there, or cannot act. */
async function refuseRecipient(env: Env, to: string): Promise<Problem | null> {
  const { status } = await freshAccessView(env, to);
  if (status === 'active') return null;
  if (status !== 'suspended') return invalid('/to', NO_SUCH_ACTOR);
  return { problem: 'suspended', detail: 'This actor is suspended and cannot act for anybody.' };
}

/** Before anything is written: a delegation without a token is of no use. */
async function refuseToSign(env: Env): Promise<Problem | null> {
  const signer = await signerOf(env, 'tokens');
  return isProblem(signer) ? signer : null;
}

/** The id of the credential that is used; another bootstrap key is another credential. */
function madeWith(env: Env, { credential: { kind, id } }: Principal): string {
  return kind === 'bootstrap-key' ? bootstrapKeyId(env) : id;
}

function commandOf(delegation: string, body: Body, credential: string, now: number) {
  const { to, scopes, contexts, notBefore, expiresAt, ttlSeconds, maxUses } = body;
  const begins = Math.max(now, notBefore === undefined ? now : Date.parse(notBefore));
  const ends = ttlSeconds === undefined ? expiresAt : new Date(begins + ttlSeconds * 1000).toISOString();
  return {
    type: 'delegate',
    delegation,
    to,
    madeWith: credential,
    wanted: { scopes, ...(contexts && { contexts }), ...(ends !== undefined && { expiresAt: ends }) },
    ...(notBefore !== undefined && { notBefore }),
    ...(maxUses !== undefined && { maxUses }),
    at: new Date(now).toISOString(),
  } as const;
}

/** What the token of a delegation says: whose rights, who acts, and before them who acted (RFC 8693, section 4.1). */
function claimsOf({ id, by, to, subject, chain, scopes, contexts, notBefore, expiresAt }: DelegationRecord) {
  const earlier = [...chain.slice(1).map((link) => link.by), ...(chain.length > 0 ? [by] : [])];
  const before = earlier.reduce<ActClaim | undefined>((act, sub) => ({ sub, ...(act && { act }) }), undefined);
  return {
    sub: subject,
    act: { sub: to, ...(before && { act: before }) },
    jti: id,
    chain: [...chain.map((link) => link.id), id],
    scope: scopes.join(' '),
    ...(contexts && { contexts: [...contexts] }),
    nbf: Math.floor(Date.parse(notBefore) / 1000),
    // A second too early at most: never too late.
    exp: Math.floor(Date.parse(expiresAt) / 1000),
  };
}

/** A delegation as it is answered. */
export function bodyOf({
  chain,
  scopes,
  contexts,
  madeWith: credential,
  ...record
}: DelegationRecord): z.infer<typeof delegationBody> {
  return {
    ...record,
    // Not which bootstrap key: what tells them apart comes of its hash.
    madeWith: credential.startsWith(BOOTSTRAP_KEY) ? BOOTSTRAP_KEY : credential,
    chain: chain.map(({ id, by }) => ({ id, by })),
    scopes: [...scopes],
    contexts: contexts && [...contexts],
  };
}
