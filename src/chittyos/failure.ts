import type { JsonObject } from '../../events/json.ts';

/** The ChittyOS services that are called. */
export type ServiceName = 'id' | 'auth' | 'registry' | 'dna' | 'verify' | 'certify' | 'chronicle';

/** Makes something for every service. */
export function forEachService<Value>(make: (service: ServiceName) => Value): Record<ServiceName, Value> {
  return {
    id: make('id'),
    auth: make('auth'),
    registry: make('registry'),
    dna: make('dna'),
    verify: make('verify'),
    certify: make('certify'),
    chronicle: make('chronicle'),
  };
}

/**
 * What went wrong with a call:
 * - `timeout`: no complete answer in time; whether it was carried out is unknown
 * - `network`: the connection failed; whether it was carried out is unknown
 * - `status`: the service answered with another status than 2xx
 * - `wrong-answer`: 2xx, but not what the operation answers (HTML, other JSON, an error inside, too long)
 * - `circuit-open`: not sent, because the service has been failing
 * - `configuration`: not sent, because a token, a binding or a usable URL is missing
 * - `invalid-request`: not sent, because what was asked for cannot be written as a request
 */
export type FailureKind =
  | 'timeout'
  | 'network'
  | 'status'
  | 'wrong-answer'
  | 'circuit-open'
  | 'configuration'
  | 'invalid-request';

/** Why a call gave no value. It never holds a token, so that it can be logged, stored and shown. */
export interface Failure {
  readonly service: ServiceName;
  readonly operation: string;
  readonly kind: FailureKind;
  /** The HTTP status, when there was an answer. */
  readonly status?: number;
  /** One sentence for a person. */
  readonly detail: string;
  /** How long the service, or the circuit breaker, asks to be left alone; at most 5 minutes. */
  readonly retryAfterMs?: number;
  /**
   * Whether the same call may succeed later with nothing changed here. Whether it is *safe* to make again is a matter
   * of the operation: see `Operation.isIdempotent`.
   */
  readonly retryable: boolean;
  /** The body of a refusal (4xx) that was a JSON object, such as a problem+json with its extension members. */
  readonly problem?: JsonObject;
}

/** A call's outcome. Calls do not throw. */
export type CallResult<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly failure: Failure };

/** Tells whether a failure speaks of the service's health. Being told "no such thing" does not: it works. */
export function isServiceFault({ kind, status = 0 }: Failure): boolean {
  switch (kind) {
    case 'timeout':
    case 'network':
    case 'wrong-answer':
      return true;
    case 'status':
      return status >= 500 || status < 400;
    default:
      return false;
  }
}

/** Tells whether the service refuses us as a caller: a wrong token, or too many calls. */
export function isTurnedAway({ status }: Failure): boolean {
  return status === 401 || status === 403 || status === 429;
}

/** What stands where a secret was. */
const REDACTED = '[redacted]';

/** Takes every secret out of a text that came from outside, as it is, as it is in JSON and as it is in a URL. */
export function redact(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    if (secret === '') continue;
    for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]) {
      clean = clean.replaceAll(form, REDACTED);
    }
  }
  return clean;
}
