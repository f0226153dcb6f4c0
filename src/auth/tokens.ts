import { decodeProtectedHeader, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import type { Env } from '../env.ts';
import { isProblem, type Problem } from '../http/problem.ts';
import { signerOf, verifierOf } from './key-ring.ts';
import { SIGNING_ALGORITHM } from './signing-key.ts';

/**
 * The access tokens that the service makes and takes: JWTs (RFC 7519) in the profile of RFC 9068, signed with Ed25519.
 * Everything about a token is checked against what the service itself writes (RFC 8725): nothing in a token chooses how
 * it is checked.
 */

/** Characters of a token at most. */
const TOKEN_MAX = 4096;

/** The longest life of a token, in milliseconds. A retired key goes on verifying for as long. */
export const TOKEN_LIFE_MAX_MS = 24 * 60 * 60_000;

/** How far the clocks of two machines may be apart, in seconds: a token is not refused for being from the future then. */
const CLOCK_SKEW_S = 5;

const TYPE = 'at+jwt';

/** Where the service is when nothing says where it is. */
const DEFAULT_URL = 'https://connect.chitty.cc';

/** Exactly what the header of a token of ours has: no key or address of a key (`jwk`, `jku`, `x5u`), no extension. */
const headerSchema = z.strictObject({
  alg: z.literal(SIGNING_ALGORITHM),
  typ: z.literal(TYPE),
  kid: z.string().regex(/^[\w-]{43}$/),
});

/** Who acts, and before them who acted for the subject (RFC 8693, section 4.1). */
export interface ActClaim {
  readonly sub: string;
  readonly act?: ActClaim | undefined;
}

const actClaim: z.ZodType<ActClaim> = z.strictObject({
  sub: z.string(),
  get act() {
    return actClaim.optional();
  },
});

const common = {
  /** Whose rights the token carries. */
  sub: z.string(),
  /** In seconds since 1970. */
  exp: z.int(),
  nbf: z.int(),
  /** Written by whoever makes the token. */
  iat: z.int().optional(),
  jti: z.string(),
};

const sessionClaims = z.object({ ...common, sid: z.string() });

const delegationClaims = z.object({
  ...common,
  act: actClaim,
  /** Separated by spaces. */
  scope: z.string(),
  /** The contexts that it is good for; all that the subject may see when left out. */
  contexts: z.array(z.string()).optional(),
  /** The ids of the delegations from the subject's to this one. */
  chain: z.array(z.string()).min(1),
});

/** What a token of a session says. */
export type SessionClaims = Readonly<z.infer<typeof sessionClaims>>;
/** What a token of a delegation says. */
export type DelegationClaims = Readonly<z.infer<typeof delegationClaims>>;
/** What a token says. */
export type TokenClaims = SessionClaims | DelegationClaims;

const claimsSchema = z.union([delegationClaims.extend({ sid: z.undefined().optional() }), sessionClaims]);

interface Remembered {
  readonly kid: string;
  readonly claims: TokenClaims;
}

/** Tokens that were found right: the next request with the same one needs no cryptography. */
const verified = new Map<string, Remembered>();

/** Tokens that are remembered before all are forgotten. */
const VERIFIED_MAX = 1_000;

/** The issuer and audience of the tokens: where the service is reached. */
export function issuerOf(env: Env): string {
  return env.PUBLIC_URL ?? DEFAULT_URL;
}

/**
 * Makes a token.
 *
 * @param clientId the actor who will use it (RFC 9068, `client_id`)
 * @returns its text, or the problem to answer with where tokens cannot be signed
 */
export async function mintToken(env: Env, claims: TokenClaims, clientId: string): Promise<string | Problem> {
  const signer = await signerOf(env, 'tokens');
  if (isProblem(signer)) return signer;
  const issuer = issuerOf(env);
  const { iat: _iat, ...said } = claims;
  return new SignJWT({ ...said, client_id: clientId })
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, typ: TYPE, kid: signer.kid })
    .setIssuer(issuer)
    .setAudience(issuer)
    .setIssuedAt()
    .sign(signer.key);
}

/** Whether a credential has the form of a token. It says nothing about whether it is a good one. */
export function looksLikeToken(credential: string): boolean {
  return credential.startsWith('ey') && credential.split('.').length === 3;
}

/**
 * Checks a token: its form, its signature by a living key of ours, its issuer and audience, and its time. At once when it
 * was found right before. Whether what it stands for still holds (the session, the delegation) is for the caller to ask.
 *
 * @returns what it says; null when it is not good, whatever the reason
 */
export function verifyToken(env: Env, token: string): TokenClaims | null | Promise<TokenClaims | null> {
  if (token.length > TOKEN_MAX) return null;
  const known = verified.get(token);
  if (known === undefined) return verifyAnew(env, token);
  const verifier = verifierOf(env, 'tokens', known.kid);
  if (verifier instanceof Promise) return verifyAnew(env, token);
  return verifier !== null && isCurrent(known.claims) ? known.claims : null;
}

async function verifyAnew(env: Env, token: string): Promise<TokenClaims | null> {
  const header = headerOf(token);
  if (header === null) return null;
  const key = await verifierOf(env, 'tokens', header.kid);
  if (key === null) return null;
  const issuer = issuerOf(env);
  const claims = await jwtVerify(token, key, {
    algorithms: [SIGNING_ALGORITHM],
    typ: TYPE,
    issuer,
    audience: issuer,
    clockTolerance: CLOCK_SKEW_S,
    requiredClaims: ['exp', 'nbf', 'iat', 'jti', 'sub'],
  }).then(
    ({ payload }) => claimsSchema.safeParse(payload).data ?? null,
    () => null,
  );
  if (claims === null || !isCurrent(claims)) return null;
  if (verified.size >= VERIFIED_MAX) verified.clear();
  verified.set(token, { kid: header.kid, claims });
  return claims;
}

/** No skew at the end: a credential ends when it says that it does. */
function isCurrent({ exp, nbf }: TokenClaims): boolean {
  const now = Date.now() / 1000;
  return nbf <= now + CLOCK_SKEW_S && now < exp;
}

/** The header of a token, null unless it is one of ours to the letter. */
function headerOf(token: string): z.infer<typeof headerSchema> | null {
  try {
    return headerSchema.safeParse(decodeProtectedHeader(token)).data ?? null;
  } catch {
    return null;
  }
}
