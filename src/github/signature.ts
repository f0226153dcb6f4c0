/** `X-Hub-Signature-256`: the name of the hash and its value in hexadecimal digits. */
const SIGNATURE = /^sha256=([0-9a-f]{64})$/;

const encoder = new TextEncoder();

/** The signature in a header, null when it has not the form of one. */
export function readSignature(header: string | null): Uint8Array<ArrayBuffer> | null {
  const digits = SIGNATURE.exec(header ?? '')?.[1];
  if (digits === undefined) return null;
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16),
  );
}

/**
 * Tells whether GitHub signed a body: HMAC-SHA256 over its bytes as they came, compared in constant time ("Validating
 * webhook deliveries", docs.github.com).
 */
export async function isSigned(body: BufferSource, signature: BufferSource, secret: string): Promise<boolean> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await crypto.subtle.importKey('raw', encoder.encode(secret), algorithm, false, ['verify']);
  return crypto.subtle.verify('HMAC', key, signature, body);
}
