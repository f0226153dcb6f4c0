import { env } from 'cloudflare:workers';
import { base64url, SignJWT } from 'jose';
import { signerOf } from '../../src/auth/key-ring.ts';
import { isProblem } from '../../src/http/problem.ts';

/** Makes tokens as an attacker would, and as the service does. */

/** Where the Worker under test says it is. */
export const ISSUER = 'https://connect.chitty.cc';

/** The time in seconds since 1970, as tokens have it. */
export function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

/** All that a session's token says. */
export function sessionClaims(more: object = {}) {
  return { sub: 'act_x', sid: 'ses_x', jti: 'tok_x', nbf: inSeconds(0), exp: inSeconds(60), ...more };
}

/** What the tokens of the service say beside that. */
export function fullClaims(more: object = {}): Record<string, unknown> {
  return { ...sessionClaims(), iss: ISSUER, aud: ISSUER, iat: inSeconds(0), client_id: 'act_x', ...more };
}

/** A token signed with the service's own key, whatever it says. The worst case: nothing but its content can give it away. */
export async function signedByUs(claims: Record<string, unknown>, header: object = {}): Promise<string> {
  const signer = await signerOf(env, 'tokens');
  if (isProblem(signer)) throw new Error(signer.detail);
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: signer.kid, ...header })
    .sign(signer.key, { crit: { x: true } });
}

/** The parts of a token with another header and the signature that it had, or another. */
export function withHeader(token: string, change: object, signature?: string): string {
  const [header = '', payload = '', own = ''] = token.split('.');
  const changed = { ...JSON.parse(new TextDecoder().decode(base64url.decode(header))), ...change };
  return [base64url.encode(JSON.stringify(changed)), payload, signature ?? own].join('.');
}

/** A token with another payload and the signature that it had. */
export function withClaims(token: string, change: object): string {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const changed = { ...JSON.parse(new TextDecoder().decode(base64url.decode(payload))), ...change };
  return [header, base64url.encode(JSON.stringify(changed)), signature].join('.');
}
