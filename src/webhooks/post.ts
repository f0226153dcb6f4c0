import type { AttemptResult, Outcome } from '../../actors/webhook-outcome.ts';
import type { Message } from '../../actors/webhook-ports.ts';
import type { SealedSecret } from '../../actors/webhook-secrets.ts';
import { type Sealer, sealerOf } from '../auth/sealing.ts';
import type { Env } from '../env.ts';
import { noteAttempt } from '../metrics/webhooks.ts';
import { allowsLoopback, readAddress } from './address.ts';
import { signedHeaders } from './message.ts';

/** How long a receiver may take with everything, in milliseconds (Standard Webhooks, "Request timeouts"). */
const TIMEOUT_MS = 15_000;
/** How long what follows its status is read: it decides nothing. */
const BODY_MS = 2_000;
/** Bytes of an answer that are read at most, so that short ones leave the connection open for the next. */
const BODY_MAX_BYTES = 64 * 1024;
/** Characters of an answer, and of an error, that are kept. */
const EXCERPT_CHARS = 200;

/** What the secrets of a webhook are encrypted for. */
export function secretLabel(webhook: string, secret: string): string {
  return `webhook secret ${webhook} ${secret}`;
}

/** Sends a message. Never rejects. @returns null when no secret can be opened that signs it */
export async function postMessage(env: Env, message: Message): Promise<AttemptResult | null> {
  const sealer = await sealerOf(env);
  const secrets = sealer && (await openAll(sealer, message));
  if (secrets === null) return null;
  const startedAt = Date.now();
  const result = await attempt(env, message, secrets, startedAt);
  noteAttempt(result.outcome);
  return { ...result, durationMs: Date.now() - startedAt };
}

async function openAll(sealer: Sealer, { webhook, secrets }: Message): Promise<Uint8Array[] | null> {
  const opened = await Promise.all(secrets.map(({ id, sealed }) => sealer.open(sealed, secretLabel(webhook, id))));
  const found = opened.filter((secret) => secret !== null);
  return found.length > 0 && found.length === secrets.length ? found : null;
}

/** Encrypts a secret under the present key. @returns null when it cannot be opened */
export async function reseal(env: Env, webhook: string, { id, sealed }: SealedSecret): Promise<SealedSecret | null> {
  const sealer = await sealerOf(env);
  const label = secretLabel(webhook, id);
  const secret = sealer && (await sealer.open(sealed, label));
  return secret && sealer ? { id, sealed: await sealer.seal(secret, label) } : null;
}

async function attempt(
  env: Env,
  message: Message,
  secrets: readonly Uint8Array[],
  now: number,
): Promise<Omit<AttemptResult, 'durationMs'>> {
  const nothing = { status: null, response: null, retryAfterMs: null };
  const address = readAddress(message.url, allowsLoopback(env));
  if ('fault' in address) return { ...nothing, outcome: 'blocked', error: `The address ${address.fault}.` };
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), TIMEOUT_MS);
  try {
    const headers = await signedHeaders(message.id, message.body, secrets, now);
    // Where there is one, it refuses connections to private addresses, whatever a name resolves to.
    const send: typeof fetch = env.WEBHOOK_EGRESS ? env.WEBHOOK_EGRESS.fetch.bind(env.WEBHOOK_EGRESS) : fetch;
    const response = await send(address.url, {
      method: 'POST',
      headers,
      body: message.body,
      redirect: 'manual',
      signal: stop.signal,
    });
    return await resultOf(response, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) {
      return { ...nothing, outcome: 'timed_out', error: `There was no answer within ${TIMEOUT_MS / 1000} s` };
    }
    return { ...nothing, outcome: 'unreachable', error: `It could not be reached: ${reasonOf(error)}` };
  } finally {
    clearTimeout(timer);
    // Whatever of the answer was not read is not wanted.
    stop.abort();
  }
}

/** What went wrong before there was an answer. The runtime says as little of a name that does not resolve as of itself. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return /^internal error/.test(message)
    ? 'its name has no address that may be used, or nothing is there'
    : harmless(message);
}

async function resultOf(response: Response, signal: AbortSignal): Promise<Omit<AttemptResult, 'durationMs'>> {
  const { status, headers } = response;
  const outcome = outcomeOf(status);
  const text = await beginningOf(response, signal);
  if (outcome === 'delivered') return { outcome, status, error: null, response: null, retryAfterMs: null };
  const more = outcome === 'redirected' ? ': redirects are not followed, give the address itself' : '';
  const excerpt = harmless(text);
  return {
    outcome,
    status,
    error: `HTTP ${status}${more}`,
    response: excerpt === '' ? null : excerpt,
    retryAfterMs: retryAfterMs(headers.get('Retry-After'), Date.now()),
  };
}

function outcomeOf(status: number): Outcome {
  if (status >= 200 && status < 300) return 'delivered';
  if (status === 410) return 'gone';
  if (status >= 300 && status < 400) return 'redirected';
  return status >= 400 && status < 500 ? 'refused' : 'failed';
}

/** Reads what an answer begins with, and no more of it than is bounded by bytes and time. */
async function beginningOf({ body }: Response, signal: AbortSignal): Promise<string> {
  if (body === null) return '';
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  const { promise: isOver, resolve } = Promise.withResolvers<null>();
  const timer = setTimeout(() => resolve(null), BODY_MS);
  signal.addEventListener('abort', () => resolve(null));
  try {
    while (bytes < BODY_MAX_BYTES) {
      const part = await Promise.race([reader.read(), isOver]);
      if (part === null || part.done) break;
      bytes += part.value.byteLength;
      if (text.length < EXCERPT_CHARS) text += decoder.decode(part.value.subarray(0, 1024), { stream: true });
    }
  } catch {
    // It broke off. What matters came before.
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => undefined);
  }
  return text;
}

/** A text of somebody else's, such as can be shown: short, without control and direction characters. */
function harmless(text: string): string {
  return [
    ...text
      .slice(0, EXCERPT_CHARS * 2)
      .replace(/[\p{C}\p{Z}]+/gu, ' ')
      .trim(),
  ]
    .slice(0, EXCERPT_CHARS)
    .join('');
}

/** How long a receiver asks to be left alone (RFC 9110, section 10.2.3): seconds, or a date. */
function retryAfterMs(header: string | null, now: number): number | null {
  const text = header?.trim() ?? '';
  if (text === '') return null;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}
