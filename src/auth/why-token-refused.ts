import { decodeProtectedHeader, errors, jwtVerify } from 'jose';
import { z } from 'zod';
import { NOBODY } from '../../actors/audit.ts';
import type { Principal } from '../../actors/principal.ts';
import { delegatorOf } from '../../events/delegation.ts';
import type { Env } from '../env.ts';
import { accessView } from './access-views.ts';
import { delegatedBy } from './delegated-tokens.ts';
import { verifierOf } from './key-ring.ts';
import { SIGNING_ALGORITHM } from './signing-key.ts';
import { type ActClaim, issuerOf, type TokenClaims, verifyToken } from './tokens.ts';
import type { WhyRefused } from './why-refused.ts';

/** What a token of ours says that tells whose it is, also when it is over. */
const payloadSchema = z.object({
  sub: z.string(),
  jti: z.string(),
  sid: z.string().optional(),
  act: z.object({ sub: z.string() }).optional(),
  chain: z.array(z.string()).optional(),
});

/** Finds out why a token was not taken; see `whyRefused`. */
export async function whyTokenRefused(env: Env, token: string): Promise<WhyRefused> {
  const claims = await verifyToken(env, token);
  if (claims !== null) return whyClaimsRefused(env, claims);
  const { reason, payload } = await whyNotVerified(env, token);
  const signed = payloadSchema.safeParse(payload);
  return signed.success ? whose(reason, signed.data) : { reason, presented: 'token', principal: NOBODY };
}

/** What is wrong with a token by itself. @returns with what it says, when it is signed by us */
async function whyNotVerified(env: Env, token: string): Promise<{ reason: string; payload?: unknown }> {
  try {
    const { alg, typ, kid, ...more } = decodeProtectedHeader(token);
    if (alg !== SIGNING_ALGORITHM) return { reason: 'token-algorithm' };
    if (typ !== 'at+jwt' || typeof kid !== 'string' || Object.keys(more).length > 0) return { reason: 'token-header' };
    const key = await verifierOf(env, 'tokens', kid);
    if (key === null) return { reason: 'token-unknown-key' };
    const issuer = issuerOf(env);
    await jwtVerify(token, key, { algorithms: [SIGNING_ALGORITHM], issuer, audience: issuer });
    return { reason: 'token-claims' };
  } catch (error) {
    if (error instanceof errors.JWTExpired) return { reason: 'expired', payload: error.payload };
    if (error instanceof errors.JWSSignatureVerificationFailed) return { reason: 'token-signature' };
    if (!(error instanceof errors.JWTClaimValidationFailed)) return { reason: 'malformed' };
    const { claim, payload } = error;
    const reasons: Readonly<Record<string, string>> = {
      aud: 'token-audience',
      iss: 'token-issuer',
      nbf: 'token-not-yet-good',
    };
    return { reason: reasons[claim] ?? 'token-claims', payload };
  }
}

/** Why a token that is good by itself was not taken: what it stands for has ended. */
async function whyClaimsRefused(env: Env, claims: TokenClaims): Promise<WhyRefused> {
  const isDelegation = 'chain' in claims;
  const actors = [claims.sub, ...(isDelegation ? actorsIn(claims.act) : [])];
  const views = await Promise.all(actors.map((actor) => accessView(env, actor)));
  const inactive = views.find(({ status }) => status !== 'active');
  if (inactive) return whose(inactive.status ?? 'unknown', claims);
  if (!isDelegation) return whose('session-ended', claims);
  return whose((await delegatedBy(env, claims)) === null ? 'delegation-ended' : 'delegation-used-up', claims);
}

function actorsIn(act: ActClaim | undefined): string[] {
  return act ? [act.sub, ...actorsIn(act.act)] : [];
}

function whose(
  reason: string,
  { sub, jti, sid, act, chain = [] }: Readonly<z.infer<typeof payloadSchema>>,
): WhyRefused {
  const kind = act ? 'delegation' : 'session';
  const links = chain.map((id) => ({ id, by: delegatorOf(id) ?? '' }));
  const principal: Principal = {
    ...NOBODY,
    actor: act?.sub ?? sub,
    subject: sub,
    credential: { kind, id: sid ?? jti },
    chain: links,
  };
  return { reason, presented: kind, principal };
}
