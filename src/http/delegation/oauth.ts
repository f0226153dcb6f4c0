import { z } from 'zod';
import { isRefusal } from '../../../actors/decider.ts';
import { SYSTEM } from '../../../actors/principal.ts';
import { delegatorOf } from '../../../events/delegation.ts';
import { delegatedBy } from '../../auth/delegated-tokens.ts';
import { authenticateSession } from '../../auth/session-tokens.ts';
import { type ActClaim, type DelegationClaims, issuerOf, type SessionClaims, verifyToken } from '../../auth/tokens.ts';
import { actorObject, executeOn } from '../actors/address.ts';
import { readForm } from '../body.ts';
import type { AuthenticatedExchange } from '../exchange.ts';
import { problems } from '../operations.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';
import { jsonText } from '../respond.ts';
import type { Answer, AuthenticatedRoute } from '../route.ts';

const FORM = 'application/x-www-form-urlencoded';

const formBody = {
  required: true,
  content: {
    [FORM]: {
      schema: z.strictObject({
        token: z.string(),
        token_type_hint: z.string().optional().meta({ description: 'Not needed: a token tells what it is' }),
      }),
    },
  },
};

const actClaim: z.ZodType<ActClaim> = z.looseObject({ sub: z.string() });

const introspection = z
  .strictObject({
    active: z.boolean(),
    token_type: z.literal('Bearer').optional(),
    iss: z.string().optional(),
    aud: z.string().optional(),
    sub: z.string().optional().meta({ description: 'Whose rights it carries' }),
    client_id: z.string().optional().meta({ description: 'The actor who uses it' }),
    act: actClaim.optional().meta({ description: 'Who acts, and before them who acted (RFC 8693, section 4.1)' }),
    scope: z.string().optional(),
    contexts: z.array(z.string()).optional().meta({ description: 'The only contexts that it is good for' }),
    jti: z.string().optional().meta({ description: 'The id of the delegation' }),
    sid: z.string().optional().meta({ description: 'The id of the session' }),
    chain: z.array(z.string()).optional().meta({ description: 'The ids of the delegations, the one of `sub` first' }),
    nbf: z.int().optional(),
    iat: z.int().optional(),
    exp: z.int().optional(),
  })
  .meta({ id: 'Introspection' });

type Introspection = z.infer<typeof introspection>;

/** POST /oauth/introspect */
export const introspectToken: AuthenticatedRoute = {
  method: 'POST',
  path: '/oauth/introspect',
  access: 'token.introspect',
  isRead: true,
  operation: {
    operationId: 'introspectToken',
    tags: ['delegation'],
    summary: 'Whether a token is good, and what for (RFC 7662)',
    description:
      'For services that are shown tokens of this one. Whatever is wrong with a token, the answer is {"active":false}. It ' +
      'takes no use of a delegation whose uses are counted.',
    requestBody: formBody,
    responses: {
      200: { description: 'What is known', content: { 'application/json': { schema: introspection } } },
      ...problems(400, 401, 403, 413, 415),
    },
  },
  async handle(exchange) {
    const token = await readToken(exchange);
    if (isProblem(token)) return token;
    const claims = await verifyToken(exchange.env, token);
    const known = claims === null ? null : await describe(exchange, claims);
    return jsonText(exchange, 200, JSON.stringify(known ?? { active: false }));
  },
};

/** POST /oauth/revoke */
export const revokeToken: AuthenticatedRoute = {
  method: 'POST',
  path: '/oauth/revoke',
  access: 'token.introspect',
  operation: {
    operationId: 'revokeToken',
    tags: ['delegation'],
    summary: 'End what a token stands for (RFC 7009)',
    description:
      'The delegation, for those between whom the rights passed; the session, for its actor. A token that is not good (any ' +
      'more) is answered the same.',
    requestBody: formBody,
    responses: { 200: { description: 'It is good no more' }, ...problems(400, 401, 403, 413, 415) },
  },
  async handle(exchange) {
    const token = await readToken(exchange);
    if (isProblem(token)) return token;
    const claims = await verifyToken(exchange.env, token);
    const refusal = claims === null ? null : await end(exchange, claims);
    return (
      refusal ?? new Response(null, { status: 200, headers: { 'Cache-Control': 'no-store', ...exchange.headers } })
    );
  },
};

async function readToken(exchange: AuthenticatedExchange): Promise<string | Problem> {
  const query = readQuery(exchange.request, []);
  if (isProblem(query)) return query;
  const form = await readForm(exchange, ['token', 'token_type_hint']);
  if (!isProblem(form) && form.token !== undefined) return form.token;
  const problem: Problem = isProblem(form)
    ? form
    : { problem: 'invalid', detail: 'token is required.', errors: [{ pointer: 'token', message: 'is required' }] };
  // As clients of OAuth look for it (RFC 6749, section 5.2).
  return { ...problem, extensions: { error: 'invalid_request' } };
}

function isDelegation(claims: DelegationClaims | SessionClaims): claims is DelegationClaims {
  return 'chain' in claims;
}

/** What there is to say of a token that is good in every respect, null for one that is not. */
async function describe(
  { env, ...exchange }: AuthenticatedExchange,
  claims: DelegationClaims | SessionClaims,
): Promise<Introspection | null> {
  const issuer = issuerOf(env);
  const common = { active: true, token_type: 'Bearer', iss: issuer, aud: issuer } as const;
  if (!isDelegation(claims)) {
    const found = await authenticateSession(env, claims);
    if (!found) return null;
    return { ...common, ...claims, client_id: claims.sub, scope: found.principal.scopes.join(' ') };
  }
  const delegated = await delegatedBy(env, claims);
  if (!delegated) return null;
  for (const { id, by } of delegated.counted) {
    const record = await actorObject({ env, ...exchange }, by).delegation(SYSTEM, id);
    if (isRefusal(record) || record.status !== 'active') return null;
  }
  return { ...common, ...claims, client_id: delegated.principal.actor };
}

/** Ends what a token stands for; the problem when the caller has nothing to do with it. */
async function end(exchange: AuthenticatedExchange, claims: DelegationClaims | SessionClaims): Promise<Answer | null> {
  const { principal } = exchange;
  if (!isDelegation(claims)) {
    if (claims.sub !== principal.actor) return NOT_YOURS;
    const isOwn = principal.credential.id === claims.sid;
    const command = isOwn ? { type: 'endOwnSession' as const } : { type: 'endSession' as const, session: claims.sid };
    const reply = await executeOn(exchange, claims.sub, command);
    return isRefusal(reply) && reply.refused !== 'not-found' ? problemOf(reply) : null;
  }
  const by = delegatorOf(claims.jti);
  if (by === null) return null;
  // Without it, one who is no party to it would be told that it is good no more.
  const record = await actorObject(exchange, by).delegation(SYSTEM, claims.jti);
  if (isRefusal(record) || record.status === 'revoked') return null;
  const reply = await executeOn(exchange, by, {
    type: 'revokeDelegation',
    delegation: claims.jti,
    withToken: true,
  });
  return isRefusal(reply) ? NOT_YOURS : null;
}

const NOT_YOURS: Problem = {
  problem: 'forbidden',
  detail: 'Only those between whom the rights passed can end this. Ask one of them.',
};
