import type { Env } from '../env.ts';

/** The cookies of a session in a browser. `__Host-` binds them to this very host, over TLS (RFC 6265bis, 4.1.3.2). */
export const SESSION_COOKIE = '__Host-chitty_session';
export const REFRESH_COOKIE = '__Host-chitty_refresh';

/** The header in which a request by cookies shows that it comes from a page that was given the token. */
export const CSRF_HEADER = 'X-CSRF-Token';

const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Strict';

/** The value of a cookie; undefined when there is none, null when it comes twice, so that nobody knows which is meant. */
export function readCookie(headers: Headers, name: string): string | null | undefined {
  const values = (headers.get('Cookie') ?? '')
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part.startsWith(`${name}=`))
    .map((part) => part.slice(name.length + 1));
  return values.length > 1 ? null : values[0];
}

/** A Set-Cookie header. @param expiresAt in milliseconds since 1970 */
export function setCookie(name: string, value: string, expiresAt: number): string {
  return `${name}=${value}; Expires=${new Date(expiresAt).toUTCString()}; ${ATTRIBUTES}`;
}

/** A Set-Cookie header that removes a cookie. */
export function clearCookie(name: string): string {
  return `${name}=; Max-Age=0; ${ATTRIBUTES}`;
}

/**
 * Whether a page of this service made a request, by what browsers say themselves (Fetch Metadata; Origin, RFC 6454).
 * A request that says neither is not from a browser and has no business with cookies.
 */
export function isSameOrigin(request: Request, env: Env): boolean {
  const site = request.headers.get('Sec-Fetch-Site');
  const origin = request.headers.get('Origin');
  if (site === null && origin === null) return false;
  if (site !== null && site !== 'same-origin') return false;
  if (origin === null) return true;
  if (!URL.canParse(origin)) return false;
  const { host } = new URL(origin);
  const own = [new URL(request.url).host, ...(env.PUBLIC_URL ? [new URL(env.PUBLIC_URL).host] : [])];
  return own.includes(host);
}
