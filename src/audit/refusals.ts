import { NOBODY } from '../../actors/audit.ts';
import type { Principal } from '../../actors/principal.ts';
import type { AuditEvent } from '../../events/audit.ts';
import { type WhyRefused, whyRefused } from '../auth/why-refused.ts';
import { callerAddress } from '../http/address.ts';
import type { Exchange } from '../http/exchange.ts';
import { PROBLEMS, type Problem } from '../http/problem.ts';
import type { Route } from '../http/route.ts';
import { showsCredential } from '../limits/guesses.ts';
import { Meter } from '../limits/meter.ts';
import { streamsNamed } from './named.ts';
import { OnceAMinute } from './once-a-minute.ts';
import { placesOf } from './places.ts';
import { describe, record } from './trail.ts';

/** Refused credentials of one address of which it is found out why; of those that follow only that they were refused. */
const EXAMINED = { requests: 60, seconds: 60 };

const examined = new Meter();

/** The audit stream knows for certain what it was told; this saves asking it. */
const said = new OnceAMinute();

/** What a change is refused with that its caller might make: because of the input, or of what has happened meanwhile. */
const OF_CHANGES: readonly number[] = [400, 409, 410, 412, 422];

/**
 * Has a refusal recorded: credentials that are not good, what is forbidden or hidden, what is too much, and changes that
 * cannot be made as they are asked for. It goes on beside the answer, which waits for nothing of it: or its time would
 * tell a hidden thing from one that is not there, and one wrong credential from another.
 *
 * @param principal who was refused; null when nobody knows who they are
 */
export function noteRefusal(exchange: Exchange, route: Route, principal: Principal | null, problem: Problem): void {
  const isOfChange = principal !== null && isRefusedChange(route, problem);
  if (!isOfChange && !isRecorded(problem)) return;
  const work = recordRefusal(exchange, route, principal, problem).catch((error) => {
    console.error(JSON.stringify({ level: 'error', requestId: exchange.requestId, message: String(error) }));
  });
  exchange.execution.waitUntil(work);
}

/** Whether a change was refused. How far a graph reaches is tried as changes are, by who looks for what can be had. */
function isRefusedChange({ method, access }: Route, { problem }: Problem): boolean {
  const { status } = PROBLEMS[problem];
  return OF_CHANGES.includes(status) && (method !== 'GET' || (access === 'context.graph' && status === 400));
}

/** A 404 is one only when something is hidden behind it. */
function isRecorded({ problem, unsaid }: Problem): boolean {
  const { status } = PROBLEMS[problem];
  return status === 401 || status === 403 || status === 429 || (status === 404 && unsaid !== undefined);
}

async function recordRefusal(
  exchange: Exchange,
  route: Route,
  principal: Principal | null,
  problem: Problem,
): Promise<void> {
  const { problem: code, unsaid, extensions, errors } = problem;
  const { status } = PROBLEMS[code];
  // What was not looked at because there were too many is not looked at here either.
  const why = principal === null && status !== 429 ? await examine(exchange) : null;
  // Nothing was shown, so nothing was wrong: whoever comes without a credential is told to bring one.
  if (status === 401 && why === null && unsaid === undefined) return;
  const who = principal ?? why?.principal ?? NOBODY;
  const presented = principal?.credential.kind ?? unsaid?.presented ?? why?.presented ?? 'none';
  const isTooMuch = status === 429;
  const [policy = code] = isTooMuch ? [extensions?.['violated-policies']].flat().map(String) : [];
  const caller = who === NOBODY ? (callerAddress(exchange.request, exchange.env) ?? NOBODY.actor) : who.actor;
  const once = isTooMuch ? `${caller} ${policy}` : null;
  if (once !== null) {
    if (said.wasSaid(once, Date.now())) return;
    said.note(once, Date.now());
  }
  // What cannot be looked up is no reason to say nothing.
  const [stream = null] = unsaid?.stream
    ? [unsaid.stream]
    : await streamsNamed(exchange, route, who.actor).catch(() => []);
  const fields = placesOf(route, errors);
  const data: Extract<AuditEvent, { type: 'access_refused' }>['data'] = {
    ...describe(route, presented, who, stream),
    status,
    reason: unsaid?.reason ?? (status === 401 ? (why?.reason ?? code) : code),
    policy: isTooMuch ? policy : null,
    ...(fields.length > 0 && { fields }),
  };
  // Many mistakes must not be what leaves but a number of what is forbidden.
  const counted = OF_CHANGES.includes(status) ? `${caller} changes` : caller;
  await record(exchange, who, { type: 'access_refused', data }, counted, once);
}

async function examine({ request, env }: Exchange): Promise<WhyRefused | null> {
  if (!showsCredential(request) && !new URL(request.url).searchParams.has('ticket')) return null;
  const address = callerAddress(request, env) ?? NOBODY.actor;
  if (examined.take(address, EXAMINED, Date.now()).isAllowed) return whyRefused(request, env);
  return { reason: 'not-examined', presented: 'unknown', principal: NOBODY };
}
