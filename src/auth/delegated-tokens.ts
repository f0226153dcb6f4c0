import type { AccessView, DelegationAccess } from '../../actors/actor-access.ts';
import { rightsDigest } from '../../actors/actor-delegations.ts';
import { knownScopes } from '../../actors/actor-keys.ts';
import { BOOTSTRAP_KEY } from '../../actors/actor-sessions.ts';
import { isRefusal } from '../../actors/decider.ts';
import type { DelegationLink, Principal } from '../../actors/principal.ts';
import { delegatorOf } from '../../events/delegation.ts';
import type { Env } from '../env.ts';
import { causeOf, type Exchange } from '../http/exchange.ts';
import { accessView, freshAccessView } from './access-views.ts';
import { bootstrapKeyId } from './bootstrap-key.ts';
import type { ActClaim, DelegationClaims } from './tokens.ts';
import { whenKnown } from './when-known.ts';

/**
 * Tokens of delegations. What a token says was signed by us; whether it still holds is asked of everybody in the chain,
 * by what is known of them (`access-views.ts`): so a link that is revoked, or an actor who is suspended, ends all that
 * came of it as soon as any other credential ends.
 */

/** How long after a token was made those who made it may not be known to have, in seconds. */
const NEWS_S = 30;

/** A chain as a token tells it. */
interface Chain {
  readonly actor: string;
  readonly links: readonly DelegationLink[];
  /** See `rightsDigest`. */
  readonly rights: string;
}

/** The chains of the tokens that were looked at; a token that is remembered is the same object. */
const chains = new WeakMap<DelegationClaims, Chain | 'broken'>();

/** Who acts by a token of a delegation, and which of the links are counted. */
export interface Delegated {
  readonly principal: Principal;
  readonly counted: readonly DelegationLink[];
}

/**
 * Finds out for whom a token stands that was found right by itself, and takes a use of every link that is counted.
 *
 * @param takesUses whether it does; one that is used up is good without
 * @returns null when anything in the chain does not hold (any more), whatever it is
 */
export function authenticateDelegation(
  exchange: Exchange,
  claims: DelegationClaims,
  takesUses: boolean,
): Principal | null | Promise<Principal | null> {
  return whenKnown(delegatedBy(exchange.env, claims), (delegated) => {
    if (delegated === null) return null;
    return delegated.counted.length === 0 || !takesUses ? delegated.principal : takeUses(exchange, delegated);
  });
}

/** Finds out for whom a token of a delegation stands, and takes no use. */
export function delegatedBy(env: Env, claims: DelegationClaims): Delegated | null | Promise<Delegated | null> {
  const chain = chains.get(claims) ?? readChain(claims);
  chains.set(claims, chain);
  if (chain === 'broken') return null;
  const actors = [...chain.links.map(({ by }) => by), chain.actor];
  return whenKnown(viewsOf(env, actors, accessView), (views) => {
    const delegated = check(env, chain, claims, views);
    const isNews = claims.iat !== undefined && Date.now() / 1000 - claims.iat < NEWS_S;
    if (delegated !== null || !isNews) return delegated;
    // What is known may be a little older than the delegation.
    return whenKnown(viewsOf(env, actors, freshAccessView), (fresh) => check(env, chain, claims, fresh));
  });
}

function viewsOf(
  env: Env,
  actors: readonly string[],
  look: (env: Env, actor: string) => AccessView | Promise<AccessView>,
): AccessView[] | Promise<AccessView[]> {
  const known: AccessView[] = [];
  const views = actors.map((actor) => look(env, actor));
  for (const view of views) if (!(view instanceof Promise)) known.push(view);
  return known.length === views.length ? known : Promise.all(views);
}

/** Reads who handed what to whom, from the subject to the one who acts (RFC 8693, section 4.1: the last one is outermost). */
function readChain({ sub, act, jti, scope, contexts, chain }: DelegationClaims): Chain | 'broken' {
  const actors: string[] = [];
  for (let next: ActClaim | undefined = act; next; next = next.act) actors.unshift(next.sub);
  const givers = [sub, ...actors.slice(0, -1)];
  const links = chain.map((id, index) => ({ id, by: givers[index] ?? '' }));
  const isWhole = links.length === givers.length && jti === chain.at(-1);
  const actor = actors.at(-1);
  if (!isWhole || actor === undefined || links.some(({ id, by }) => delegatorOf(id) !== by)) return 'broken';
  return { actor, links, rights: rightsDigest(scope.split(' '), contexts ?? null) };
}

/** @param views of those who handed on, in order, and of the one who acts */
function check(
  env: Env,
  { actor, links, rights }: Chain,
  { sub, jti, exp, scope, contexts }: DelegationClaims,
  views: readonly AccessView[],
): Delegated | null {
  const now = Date.now();
  if (views.length !== links.length + 1 || views.some(({ status }) => status !== 'active')) return null;
  const counted: DelegationLink[] = [];
  let endsAt = exp * 1000;
  for (const [index, link] of links.entries()) {
    const view = views[index];
    const found = view?.delegations.find(({ id }) => id === link.id);
    const parent = links[index - 1]?.id ?? null;
    if (!view || !found || found.to !== (links[index + 1]?.by ?? actor) || found.parent !== parent) return null;
    if (index === links.length - 1 && found.rights !== rights) return null;
    if (!isCurrent(found, now) || !(parent === found.madeWith || isLiving(env, view, found.madeWith, now))) return null;
    endsAt = Math.min(endsAt, Date.parse(found.expiresAt));
    if (found.isCounted) counted.push(link);
  }
  const principal: Principal = {
    actor,
    subject: sub,
    // Rights over things are handed on, never what somebody is.
    capabilities: [],
    scopes: knownScopes(scope.split(' ')),
    contexts: contexts ?? null,
    credential: { kind: 'delegation', id: jti },
    chain: links,
    expiresAt: endsAt,
  };
  return { principal, counted };
}

function isCurrent({ notBefore, expiresAt }: DelegationAccess, now: number): boolean {
  return Date.parse(notBefore) <= now && now < Date.parse(expiresAt);
}

/** Whether the key or the session that something was made with is still good, and so what that was made with. */
function isLiving(env: Env, view: AccessView, madeWith: string, now: number): boolean {
  if (madeWith.startsWith(BOOTSTRAP_KEY)) return madeWith === bootstrapKeyId(env);
  const key = view.keys.find(({ id }) => id === madeWith);
  if (key) return key.expiresAt === null || Date.parse(key.expiresAt) > now;
  const session = view.sessions.find(({ id }) => id === madeWith);
  if (!session || Date.parse(session.refreshUntil) <= now) return false;
  const isCurrentSession = session.expiresAt === null || Date.parse(session.expiresAt) > now;
  return isCurrentSession && isLiving(env, view, session.startedWith, now);
}

/**
 * Takes a use of each link that is counted, in the streams of those who count, before anything is done with it.
 *
 * @returns null when one of them is used up; the uses that were taken before it are gone
 */
async function takeUses(exchange: Exchange, { principal, counted }: Delegated): Promise<Principal | null> {
  const { ACTORS } = exchange.env;
  for (const { id, by } of counted) {
    const reply = await ACTORS.get(ACTORS.idFromName(by)).execute({
      id: by,
      command: { type: 'useDelegation', delegation: id, at: new Date().toISOString() },
      principal,
      // That of the request that it is used for: so the trail shows together what was used and what was done.
      cause: causeOf(exchange),
    });
    if (isRefusal(reply)) return null;
  }
  return principal;
}
