import { callerAddress } from '../http/address.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Problem } from '../http/problem.ts';
import { rateLimitHeaders } from './headers.ts';
import { Meter } from './meter.ts';
import { limitsOf } from './settings.ts';

/** Wrong credentials by address. */
const guesses = new Meter();

/** Credentials that were found right, as they were sent. In the memory of the isolate only. */
const knownGood = new Set<string>();

/** Credentials that are remembered before all are forgotten. */
const KNOWN_MAX = 1_000;

/** Seconds after which a caller who guessed may try again. */
const RETRY_AFTER_S = 60;

/**
 * Whether credentials from this address are not looked at for now, because too many were wrong. One that is known to be
 * right always is: those who guess cannot shut out those who share an address with them.
 */
export function refuseGuess(exchange: Exchange): Problem | null {
  const address = callerAddress(exchange.request, exchange.env);
  if (address === undefined) return null;
  const rate = limitsOf(exchange.env, exchange.execution).guesses;
  const reading = guesses.read(address, rate, Date.now());
  if (reading.isAllowed || knownGood.has(credentialOf(exchange.request))) return null;
  return {
    problem: 'too-many-guesses',
    detail: 'Too many wrong credentials came from your address. Wait a minute.',
    headers: { ...rateLimitHeaders([{ policy: 'guesses', rate, reading }]), 'Retry-After': String(RETRY_AFTER_S) },
  };
}

/** Whether a request has anything in its headers that could be a credential. */
export function showsCredential(request: Request): boolean {
  return credentialOf(request) !== '';
}

/** Remembers how a credential turned out. */
export function noteGuess(exchange: Exchange, isRight: boolean): void {
  const address = callerAddress(exchange.request, exchange.env);
  if (address === undefined) return;
  const credential = credentialOf(exchange.request);
  if (isRight) {
    if (knownGood.size >= KNOWN_MAX) knownGood.clear();
    knownGood.add(credential);
    return;
  }
  // Without one nothing was guessed.
  if (credential === '') return;
  const rate = limitsOf(exchange.env, exchange.execution).guesses;
  guesses.take(address, rate, Date.now());
}

function credentialOf({ headers }: Request): string {
  return headers.get('Authorization') ?? headers.get('X-API-Key') ?? headers.get('Cookie') ?? '';
}
