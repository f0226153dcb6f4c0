import type { Envelope } from '../../events/envelope.ts';
import { derivedId, newId } from '../../events/id.ts';

/** What is sent, and how it is signed: Standard Webhooks 1.0, symmetric. */

/** The prefix of what a message is known by. */
const MESSAGE_PREFIX = 'msg';

/** Bytes of a secret: what HMAC-SHA256 makes of 64 or less as they are, and 24 are asked for at least. */
const SECRET_BYTES = 32;

/** The type of a ping. */
const PING = 'ping';

const encoder = new TextEncoder();

/**
 * What is sent of an event. Its sealed text stands in the body byte for byte, so that a receiver can check its hash. The
 * id follows from the webhook and the event: it is the same at each attempt and in a replay.
 */
export function messageOf(webhook: string, text: string): { readonly id: string; readonly body: string } {
  const { id, type, time }: Envelope = JSON.parse(text);
  return {
    id: derivedId(MESSAGE_PREFIX, `${webhook} ${id}`),
    body: `{"type":${JSON.stringify(type)},"timestamp":"${time}","data":${text}}`,
  };
}

/** What is sent to see whether it arrives. */
export function pingOf(
  webhook: string,
  now: number,
): { readonly id: string; readonly body: string; readonly type: string } {
  const body = JSON.stringify({ type: PING, timestamp: new Date(now).toISOString(), data: { webhook } });
  return { id: newId(MESSAGE_PREFIX, now), body, type: PING };
}

/** A new secret. */
export function newSecret(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
}

/** A secret as its owner gets it, once. */
export function secretText(secret: Uint8Array): string {
  return `whsec_${base64(secret)}`;
}

/** The headers of a message. @param secrets each of them signs */
export async function signedHeaders(
  id: string,
  body: string,
  secrets: readonly Uint8Array[],
  now: number,
): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(now / 1000));
  const signatures = await Promise.all(secrets.map((secret) => signature(secret, `${id}.${timestamp}.${body}`)));
  return {
    'Content-Type': 'application/json',
    'User-Agent': 'ChittyConnect-Webhooks/1.0',
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  };
}

async function signature(secret: Uint8Array, content: string): Promise<string> {
  const bytes = new Uint8Array(secret);
  const key = await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  return `v1,${base64(new Uint8Array(await crypto.subtle.sign('HMAC', key, encoder.encode(content))))}`;
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}
