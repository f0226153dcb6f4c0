import { z } from 'zod';
import { BOOTSTRAP_KEY, type Session } from '../../../actors/actor-sessions.ts';
import { isRefusal } from '../../../actors/decider.ts';
import { SYSTEM } from '../../../actors/principal.ts';
import { SESSION_PREFIX } from '../../../events/actor.ts';
import { isId, newId } from '../../../events/id.ts';
import { nextUlid } from '../../../events/ulid.ts';
import { accessView, forgetAccessView, freshAccessView } from '../../auth/access-views.ts';
import { UNAUTHORIZED } from '../../auth/authenticate.ts';
import { bootstrapKeyId } from '../../auth/bootstrap-key.ts';
import {
  clearCookie,
  isSameOrigin,
  REFRESH_COOKIE,
  readCookie,
  SESSION_COOKIE,
  setCookie,
} from '../../auth/cookies.ts';
import { csrfHashOf, firstRefreshToken, type RefreshToken, readRefreshToken } from '../../auth/refresh-token.ts';
import { mintToken } from '../../auth/tokens.ts';
import type { Env } from '../../env.ts';
import { readOptionalBody } from '../body.ts';
import { causeOf, type Exchange } from '../exchange.ts';
import { jsonBody, problems } from '../operations.ts';
import { isProblem, type Problem, problemOf } from '../problem.ts';
import { readQuery } from '../query.ts';
import { empty, jsonText } from '../respond.ts';
import type { AuthenticatedRoute, PublicRoute } from '../route.ts';
import { ACTOR_PATH, actorObject, addressed, executeOn } from './address.ts';
import { refreshSessionBody, sessionBody, sessionTokensBody, startSessionBody } from './schemas.ts';

const SESSIONS_PATH = `${ACTOR_PATH}/sessions`;

/** How long an access token is good, in seconds. */
const ACCESS_S = 600;

const tokensResponse = (description: string) => ({
  description,
  headers: z.object({
    'Set-Cookie': z
      .string()
      .optional()
      .meta({ description: `With cookies: ${SESSION_COOKIE} and ${REFRESH_COOKIE}, in place of the tokens` }),
  }),
  content: { 'application/json': { schema: sessionTokensBody } },
});

/** POST /v1/sessions */
export const startSession: AuthenticatedRoute = {
  method: 'POST',
  path: '/v1/sessions',
  access: 'actor.credentials',
  operation: {
    operationId: 'startSession',
    tags: ['credentials'],
    summary: 'Start a session with an API key',
    description:
      'Gives an access token for ten minutes and a refresh token that is good once. The session ends with its key, when ' +
      'it was left alone for 30 days, and after 90 days. With `cookies` the tokens are cookies that no script can read.',
    requestBody: { ...jsonBody(startSessionBody), required: false },
    responses: { 201: tokensResponse('The session'), ...problems(400, 401, 403, 404, 409, 413, 415, 503) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const body = await readOptionalBody(exchange, startSessionBody);
    if (isProblem(body)) return body;
    const { env, principal } = exchange;
    const { actor, credential } = principal;
    const refresh = firstRefreshToken(actor, newId(SESSION_PREFIX, Date.now()));
    // Before anything is written: where no token can be made there is no session.
    const access = await mintAccessToken(env, actor, refresh.session);
    if (isProblem(access)) return access;
    const reply = await executeOn(exchange, actor, {
      type: 'startSession',
      session: refresh.session,
      startedWith: credential.kind === 'bootstrap-key' ? bootstrapKeyId(env) : credential.id,
      wanted: body.scopes ? { scopes: body.scopes } : {},
      device: body.device ?? null,
      familyHash: refresh.familyHash,
      refreshHash: refresh.hash,
      csrfHash: body.cookies ? csrfHashOf(refresh.csrfToken) : null,
      at: new Date().toISOString(),
    });
    if (isRefusal(reply)) return problemOf(reply);
    const sessions = await actorObject(exchange, actor).sessions(SYSTEM);
    const session = 'refused' in sessions ? undefined : sessions.find(({ id }) => id === refresh.session);
    return session ? tokens(exchange, 201, session, session.usesCookies, access, refresh) : UNAUTHORIZED;
  },
};

/** POST /v1/sessions/refresh */
export const refreshSession: PublicRoute = {
  method: 'POST',
  path: '/v1/sessions/refresh',
  access: 'public',
  operation: {
    operationId: 'refreshSession',
    tags: ['credentials'],
    summary: 'Get the next access token of a session',
    description:
      'With the refresh token in the body, or in its cookie from a page of this service. It is good once: the answer has ' +
      'the next one. One that was used before ends the session, because two have it and nobody can tell who is who.',
    security: [],
    requestBody: { ...jsonBody(refreshSessionBody), required: false },
    responses: { 200: tokensResponse('The session goes on'), ...problems(400, 401, 413, 415, 503) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const body = await readOptionalBody(exchange, refreshSessionBody);
    if (isProblem(body)) return body;
    const presented = presentedToken(exchange, body.refreshToken);
    const refresh = presented === null ? null : readRefreshToken(presented);
    if (refresh === null) return presented === null ? UNAUTHORIZED : refused('unknown');
    const { env } = exchange;
    const { actor, session: id, next } = refresh;
    if (!(await isThere(env, actor))) return refused('unknown');
    const access = await mintAccessToken(env, actor, id);
    if (isProblem(access)) return access;
    const session = await actorObject(exchange, actor).refresh({
      id: actor,
      command: {
        type: 'refreshSession',
        session: id,
        familyHash: refresh.familyHash,
        refreshHash: refresh.hash,
        nextRefreshHash: next.hash,
        at: new Date().toISOString(),
      },
      principal: {
        actor,
        subject: actor,
        capabilities: [],
        scopes: [],
        contexts: null,
        credential: { kind: 'session', id },
        chain: [],
        expiresAt: null,
      },
      cause: causeOf(exchange),
    });
    // A reused one has ended the session.
    forgetAccessView(actor);
    if (session === null || hasLostItsKey(session, env)) return refused('refresh-token-not-good');
    return tokens(exchange, 200, session, session.csrfHash !== null, access, next);
  },
};

/** DELETE /v1/sessions/current */
export const endCurrentSession: AuthenticatedRoute = {
  method: 'DELETE',
  path: '/v1/sessions/current',
  access: 'session.own',
  operation: {
    operationId: 'endCurrentSession',
    tags: ['credentials'],
    summary: 'End the session whose token this is',
    description: 'Cookies are removed. Within 5 s its tokens are good nowhere; what it has open is closed.',
    responses: { 204: { description: 'It has ended' }, ...problems(400, 401, 403, 404, 409) },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const { actor, credential } = exchange.principal;
    if (credential.kind !== 'session') {
      return { problem: 'conflict', detail: 'You do not use a session. DELETE …/keys/{key} ends a key.' };
    }
    const reply = await executeOn(exchange, actor, { type: 'endOwnSession' });
    if (isRefusal(reply)) return problemOf(reply);
    const response = empty(exchange, 204);
    for (const name of [SESSION_COOKIE, REFRESH_COOKIE]) response.headers.append('Set-Cookie', clearCookie(name));
    return response;
  },
};

/** GET /v1/actors/{id}/sessions */
export const listSessions: AuthenticatedRoute = {
  method: 'GET',
  path: SESSIONS_PATH,
  access: 'actor.read',
  operation: {
    operationId: 'listSessions',
    tags: ['credentials'],
    summary: 'The sessions of an actor, oldest first',
    description: 'For oneself and administrators. The tokens are not kept and in no answer.',
    responses: {
      200: {
        description: 'The sessions',
        content: { 'application/json': { schema: z.strictObject({ items: z.array(sessionBody) }) } },
      },
      ...problems(400, 401, 403, 404),
    },
  },
  async handle(exchange) {
    const actor = await addressed(exchange);
    if (isProblem(actor)) return actor;
    const items = await actorObject(exchange, actor).sessions(exchange.principal);
    return 'refused' in items ? problemOf(items) : jsonText(exchange, 200, JSON.stringify({ items }));
  },
};

/** DELETE /v1/actors/{id}/sessions/{session} */
export const endSession: AuthenticatedRoute = {
  method: 'DELETE',
  path: `${SESSIONS_PATH}/:session`,
  access: 'actor.credentials',
  operation: {
    operationId: 'endSession',
    tags: ['credentials'],
    summary: 'End a session',
    description: 'For oneself and administrators. Within 5 s its tokens are good nowhere.',
    responses: { 204: { description: 'It has ended' }, ...problems(400, 401, 403, 404, 409) },
  },
  async handle(exchange) {
    const actor = await addressed(exchange);
    if (isProblem(actor)) return actor;
    const session = exchange.request.params?.session ?? '';
    if (!isId(SESSION_PREFIX, session)) return { problem: 'not-found', detail: 'There is no such session.' };
    const reply = await executeOn(exchange, actor, { type: 'endSession', session });
    return isRefusal(reply) ? problemOf(reply) : empty(exchange, 204);
  },
};

/** DELETE /v1/actors/{id}/sessions */
export const endAllSessions: AuthenticatedRoute = {
  method: 'DELETE',
  path: SESSIONS_PATH,
  access: 'actor.credentials',
  operation: {
    operationId: 'endAllSessions',
    tags: ['credentials'],
    summary: 'End all sessions of an actor',
    description: 'For oneself and administrators. Within 5 s their tokens are good nowhere.',
    responses: { 204: { description: 'They have ended' }, ...problems(400, 401, 403, 404, 409) },
  },
  async handle(exchange) {
    const actor = await addressed(exchange);
    if (isProblem(actor)) return actor;
    const reply = await executeOn(exchange, actor, { type: 'endAllSessions' });
    return isRefusal(reply) ? problemOf(reply) : empty(exchange, 204);
  },
};

/** The refresh token of a request, in its body or as a cookie; null when it has none, or two, or comes from elsewhere. */
function presentedToken({ request, env }: Exchange, inBody: string | undefined): string | null {
  const cookie = readCookie(request.headers, REFRESH_COOKIE);
  if (cookie === undefined) return inBody ?? null;
  return inBody === undefined && isSameOrigin(request, env) ? cookie : null;
}

/** Whether somebody has registered an actor: asking their object would make it, and anybody can make up a refresh token. */
async function isThere(env: Env, actor: string): Promise<boolean> {
  const { status } = await accessView(env, actor);
  // What is known may be a little older than the actor.
  return status !== null || (await freshAccessView(env, actor)).status !== null;
}

/** The one answer to every refresh token that is not good; the audit trail has the reason. */
function refused(reason: string): Problem {
  return { ...UNAUTHORIZED, unsaid: { reason, presented: 'refresh-token' } };
}

/** Whether a session was started with a bootstrap key that is not the present one. */
function hasLostItsKey({ startedWith }: Session, env: Env): boolean {
  return startedWith.startsWith(BOOTSTRAP_KEY) && startedWith !== bootstrapKeyId(env);
}

function mintAccessToken(env: Env, actor: string, session: string): Promise<string | Problem> {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: actor, sid: session, nbf: now, exp: now + ACCESS_S, jti: nextUlid(Date.now()) };
  return mintToken(env, claims, actor);
}

/** The tokens of a session, in the body or as cookies. */
function tokens(
  exchange: Exchange,
  status: 200 | 201,
  { id, expiresAt, refreshUntil }: Pick<Session, 'id' | 'expiresAt' | 'refreshUntil'>,
  usesCookies: boolean,
  access: string,
  refresh: RefreshToken,
): Response {
  const common = { id, tokenType: 'Bearer', expiresIn: ACCESS_S, expiresAt };
  if (!usesCookies) {
    const body = { ...common, accessToken: access, refreshToken: refresh.text };
    return jsonText(exchange, status, JSON.stringify(body));
  }
  const response = jsonText(exchange, status, JSON.stringify({ ...common, csrfToken: refresh.csrfToken }));
  const end = Math.min(Date.parse(expiresAt), Date.parse(refreshUntil));
  response.headers.append('Set-Cookie', setCookie(SESSION_COOKIE, access, Date.now() + ACCESS_S * 1000));
  response.headers.append('Set-Cookie', setCookie(REFRESH_COOKIE, refresh.text, end));
  return response;
}
