import { ACTIONS, type Action } from '../../actors/access.ts';
import type { Quotas } from '../../actors/quota-object.ts';
import type { LimitClass, Rate } from '../../events/limits.ts';
import { callerAddress } from '../http/address.ts';
import type { AuthenticatedExchange, Exchange } from '../http/exchange.ts';
import type { Problem } from '../http/problem.ts';
import type { AuthenticatedRoute, SelfAuthenticatingRoute } from '../http/route.ts';
import { type Counted, rateLimitHeaders } from './headers.ts';
import { Meter } from './meter.ts';
import { pressure } from './pressure.ts';
import { countedQuotas, periodOf, takeQuota } from './quotas.ts';
import { limitsOf } from './settings.ts';

/** What this isolate has let through. */
const meter = new Meter();

/** The share of a limit from which on the platform is asked as well, which counts for all isolates of a place. */
const ASK_PLATFORM_BELOW = 0.5;

/** A request that may go on, with the headers that its answer gets; or why it may not. */
export type Admission = { readonly headers?: Readonly<Record<string, string>> } | Problem;

const UNLIMITED: Admission = {};

/**
 * Decides whether a known caller may make one more request now. The bootstrap key has no limits: whoever is to raise
 * them must be able to.
 */
export function admit(
  exchange: AuthenticatedExchange,
  route: AuthenticatedRoute | SelfAuthenticatingRoute,
): Admission | Promise<Admission> {
  const { env, execution, principal } = exchange;
  if (principal.credential.kind === 'bootstrap-key') return UNLIMITED;
  const limits = limitsOf(env, execution);
  const { actor } = principal;
  const own = limits.actors[actor];
  if (own?.isExempt) return UNLIMITED;
  const now = Date.now();
  const share = pressure.shareOf(actor, limits.pressure, now);
  const operation = route.operation.operationId ?? '';
  const policy = classOf(route.access === 'self-authenticating' ? route.action : route.access);
  const counted = [count(policy, actor, scaled(limits.classes[policy], (own?.factor ?? 1) * share), now)];
  const endpoint = limits.endpoints[operation];
  if (endpoint) counted.push(count(operation, actor, scaled(endpoint, (own?.factor ?? 1) * share), now));
  const headers = rateLimitHeaders(counted);
  const exceeded = counted.find(({ reading }) => !reading.isAllowed);
  if (exceeded) return share < 1 ? reduced(exceeded, headers) : tooMany(exceeded, headers);
  const quotas = own?.quotas ?? limits.quotas;
  const isNearLimit = counted.some(({ rate, reading }) => reading.remaining < rate.requests * ASK_PLATFORM_BELOW);
  if (quotas.day === null && quotas.month === null && !isNearLimit) return { headers };
  return admitByOthers(exchange, quotas, counted, isNearLimit);
}

/** Asks what counts beyond this isolate. */
async function admitByOthers(
  { env, principal }: AuthenticatedExchange,
  quotas: Quotas,
  counted: readonly Counted[],
  isNearLimit: boolean,
): Promise<Admission> {
  const { actor } = principal;
  const headers = rateLimitHeaders(counted);
  const [first] = counted;
  if (isNearLimit && env.RATE_LIMIT && first) {
    const { success } = await env.RATE_LIMIT.limit({ key: `${first.policy} ${actor}` });
    if (!success) return tooMany({ ...first, reading: { ...first.reading, retryAfterS: 1 } }, headers);
  }
  if (quotas.day === null && quotas.month === null) return { headers };
  const now = Date.now();
  const { isAllowed, left } = await takeQuota(env, actor, quotas, now);
  const all = rateLimitHeaders([...counted, ...countedQuotas(quotas, left, now)]);
  return isAllowed ? { headers: all } : usedUp(left, all, now);
}

/** Decides whether a caller who sends no credential may make one more request of a route that is for everybody. */
export function admitStranger(exchange: Exchange): Admission {
  const address = callerAddress(exchange.request, exchange.env);
  // Where callers cannot be told apart, a limit would let one of them shut out all the others.
  if (address === undefined) return UNLIMITED;
  const { unauthenticated } = limitsOf(exchange.env, exchange.execution);
  const counted = count('unauthenticated', address, unauthenticated, Date.now());
  const headers = rateLimitHeaders([counted]);
  return counted.reading.isAllowed ? { headers } : tooMany(counted, headers);
}

function count(policy: string, key: string, rate: Rate, now: number): Counted {
  return { policy, rate, reading: meter.take(`${policy} ${key}`, rate, now) };
}

function scaled({ requests, seconds }: Rate, factor: number): Rate {
  return factor === 1 ? { requests, seconds } : { requests: Math.max(1, Math.floor(requests * factor)), seconds };
}

/** What asks the read models for much at once. */
const SEARCHES: readonly Action[] = ['context.list', 'context.graph', 'connection.list', 'actor.list'];

/** Which of the limits counts a request. */
function classOf(action: Action): LimitClass {
  if (SEARCHES.includes(action)) return 'search';
  const { scope } = ACTIONS[action];
  if (scope === 'contexts:write' || scope === 'connections:write') return 'write';
  return scope?.endsWith(':read') ? 'read' : 'manage';
}

/** The problem types are those of the draft that the headers are from, section "Problem Types". */
function tooMany({ policy, reading }: Counted, headers: Readonly<Record<string, string>>): Problem {
  return {
    problem: 'quota-exceeded',
    detail: `That were too many requests (${policy}). Try again in ${reading.retryAfterS} s.`,
    headers: { ...headers, 'Retry-After': String(reading.retryAfterS) },
    extensions: { 'violated-policies': [policy] },
  };
}

function reduced({ policy, reading }: Counted, headers: Readonly<Record<string, string>>): Problem {
  return {
    problem: 'temporary-reduced-capacity',
    detail: `The service is under pressure and you use more of it than others. Try again in ${reading.retryAfterS} s.`,
    headers: { ...headers, 'Retry-After': String(reading.retryAfterS) },
    extensions: { 'violated-policies': [policy] },
  };
}

function usedUp(left: Quotas, headers: Readonly<Record<string, string>>, now: number): Problem {
  const policy = left.month === 0 ? 'month' : 'day';
  const { endsAt } = periodOf(policy, now);
  return {
    problem: 'quota-exceeded',
    detail: `Your requests of this ${policy} are used up. There are new ones at ${new Date(endsAt).toISOString()}.`,
    headers: { ...headers, 'Retry-After': String(Math.ceil((endsAt - now) / 1000)) },
    extensions: { 'violated-policies': [policy] },
  };
}
