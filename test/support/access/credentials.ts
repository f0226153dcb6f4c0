import { env } from 'cloudflare:workers';
import { type Capability, type Principal, SCOPES, type Scope } from '../../../actors/principal.ts';
import { BOOTSTRAP_ACTOR } from '../../../src/auth/bootstrap-actor.ts';
import { CSRF_HEADER, SESSION_COOKIE } from '../../../src/auth/cookies.ts';
import { as, expectJson, type SessionJson, startSession } from '../actors.ts';
import { BASE } from '../api.ts';
import { atAnotherTime } from '../clock.ts';
import { delegate, revoke } from '../delegations.ts';
import type { Person } from '../sharing.ts';

/** Everybody that somebody can be to the context and to the actor that all cells are about. */
export const STANDINGS = [
  'owner',
  'editor',
  'viewer',
  'auditor',
  'invited',
  'stranger',
  'administrator',
  'auditor of all',
  'the actor',
] as const;
export type Standing = (typeof STANDINGS)[number];

/** The kinds of credential that let nobody in. */
const BAD = [
  'none',
  'a wrong one',
  'an expired key',
  'a revoked key',
  'a key of a suspended actor',
  'a session that has ended',
  'a delegated token that has expired',
  'a delegated token that was revoked',
  'a delegated token that is used up',
] as const;

/** Those that do, as far as they are good for it. */
const GOOD = [
  'the bootstrap key',
  'a key with all scopes',
  'a key with the scope that it needs',
  'a key with all scopes but that',
  'a session',
  'a cookie with the CSRF token',
  'a cookie without the CSRF token',
  'a delegated token for the context',
  'a delegated token for another context',
  'a delegated token at depth 3 for the context',
  'a delegated token at depth 3 for another context',
] as const;
export type Kind = (typeof BAD)[number] | (typeof GOOD)[number];

/** Those who might do most, were what they come with still good. */
const MIGHTY: readonly Standing[] = ['owner', 'administrator', 'the actor'];

/** Who comes with what is answered alike whoever comes with it: a few are enough. Everybody comes with the others. */
const ONLY_OF: Readonly<Partial<Record<Kind, readonly Standing[]>>> = {
  'the bootstrap key': ['administrator'],
  'a session that has ended': MIGHTY,
  'a delegated token that has expired': MIGHTY,
  'a delegated token that was revoked': MIGHTY,
  'a delegated token that is used up': MIGHTY,
};

const of = <Some extends Kind>(kinds: readonly Some[], standing: Standing) =>
  kinds.filter((kind) => ONLY_OF[kind]?.includes(standing) ?? true);

/** Every kind of credential that somebody can come with. */
export function credentialsOf(standing: Standing): readonly Kind[] {
  return [...of(BAD, standing), ...of(GOOD, standing)];
}

/** Those of them that let somebody in, and are made for no scope in particular. */
export function readingCredentialsOf(standing: Standing): readonly Kind[] {
  return of(GOOD, standing).filter((kind) => !isMadeFor(kind));
}

/** Whether a credential is made for the scope that a route needs. */
export function isMadeFor(kind: Kind): boolean {
  return kind === 'a key with the scope that it needs' || kind === 'a key with all scopes but that';
}

/** What is presented, and whom the access model should take its bearer for; null when for nobody. */
export interface Presented {
  readonly headers: Readonly<Record<string, string>>;
  readonly principal: Principal | null;
}

/** Something that is sent as keys and tokens are. */
export function bearer(credential: string, principal: Principal | null): Presented {
  return { headers: { Authorization: `Bearer ${credential}` }, principal };
}

/** What is given to actors for good. */
export function capabilitiesOf(standing: Standing): readonly Capability[] {
  if (standing === 'administrator') return ['administrator'];
  return standing === 'auditor of all' ? ['auditor'] : [];
}

/** Whom the access model should take somebody for who comes with something of their own. */
export function principalOf(
  actor: string,
  standing: Standing,
  scopes: readonly Scope[],
  kind: 'api-key' | 'session' | 'bootstrap-key' = 'api-key',
): Principal {
  const capabilities = capabilitiesOf(standing);
  const credential = { kind, id: kind };
  return { actor, subject: actor, capabilities, scopes, contexts: null, credential, chain: [], expiresAt: null };
}

/** The key that is there from the beginning. */
export function bootstrapKey(): Presented {
  const principal = principalOf(BOOTSTRAP_ACTOR, 'administrator', SCOPES, 'bootstrap-key');
  return bearer(String(env.BOOTSTRAP_API_KEY), principal);
}

/** A session by cookies, as a page of the service has it; without the token, as a browser sends them along for any page. */
export async function cookies(key: string, principal: Principal, hasToken: boolean): Promise<Presented> {
  const response = await as(key, '/v1/sessions', { method: 'POST', json: { scopes: SCOPES, cookies: true } });
  const cookie = response.headers.getSetCookie().find((each) => each.startsWith(SESSION_COOKIE));
  const { csrfToken } = await expectJson<SessionJson>(response, 201);
  const ofThePage = { Origin: BASE, 'Sec-Fetch-Site': 'same-origin', [CSRF_HEADER]: csrfToken };
  return { headers: { Cookie: cookie?.split(';')[0] ?? '', ...(hasToken && ofThePage) }, principal };
}

/** A session that was ended. */
export async function endedSession(key: string): Promise<Presented> {
  const { accessToken } = await startSession(key, { scopes: SCOPES });
  const { status } = await as(accessToken, '/v1/sessions/current', { method: 'DELETE' });
  if (status !== 204) throw new Error(`${status} to the end of a session`);
  return bearer(accessToken, null);
}

const DELEGATED = SCOPES.filter((scope) => scope !== 'admin');

/** What somebody hands to agents: for the context itself, and for another one, directly and by two others. */
export async function delegatedTokens(
  from: Person,
  standing: Standing,
  agents: readonly Person[],
  context: string,
  other: string,
): Promise<ReadonlyMap<Kind, Presented>> {
  const [first, second, third] = agents;
  if (!first || !second || !third) throw new Error('three agents are needed');
  const presented = (token: string, actor: string, depth: number, contexts: readonly string[]): Presented => {
    const chain = Array.from({ length: depth }, (_, index) => ({ id: `link ${index}`, by: 'somebody' }));
    const credential = { kind: 'delegation', id: 'delegation' } as const;
    const rights = { scopes: DELEGATED, contexts, capabilities: [], expiresAt: null };
    return bearer(token, { actor, subject: from.id, ...rights, credential, chain });
  };
  const here = await delegate(from.key, first.id, DELEGATED, { contexts: [context] });
  const elsewhere = await delegate(from.key, first.id, DELEGATED, { contexts: [other] });
  const open = await delegate(from.key, first.id, DELEGATED);
  const on = await delegate(open.token, second.id, DELEGATED);
  const deepHere = await delegate(on.token, third.id, DELEGATED, { contexts: [context] });
  const deepElsewhere = await delegate(on.token, third.id, DELEGATED, { contexts: [other] });
  return new Map<Kind, Presented>([
    ['a delegated token for the context', presented(here.token, first.id, 1, [context])],
    ['a delegated token for another context', presented(elsewhere.token, first.id, 1, [other])],
    ['a delegated token at depth 3 for the context', presented(deepHere.token, third.id, 3, [context])],
    ['a delegated token at depth 3 for another context', presented(deepElsewhere.token, third.id, 3, [other])],
    ...(MIGHTY.includes(standing) ? await endedTokens(from, first) : []),
  ]);
}

/** Tokens that are good no more. */
async function endedTokens(from: Person, to: Person): Promise<[Kind, Presented][]> {
  const expired = await atAnotherTime(-60_000, () => delegate(from.key, to.id, DELEGATED, { ttlSeconds: 30 }));
  const revoked = await delegate(from.key, to.id, DELEGATED);
  await revoke(from.key, revoked.id);
  const usedUp = await delegate(from.key, to.id, DELEGATED, { maxUses: 1 });
  await expectJson(await as(usedUp.token, '/v1/contexts?limit=1'), 200);
  return [
    ['a delegated token that has expired', bearer(expired.token, null)],
    ['a delegated token that was revoked', bearer(revoked.token, null)],
    ['a delegated token that is used up', bearer(usedUp.token, null)],
  ];
}
