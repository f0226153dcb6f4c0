import { z } from 'zod';
import { livingKeys } from '../auth/key-ring.ts';
import { PUBLISHED_AHEAD_MS } from '../auth/key-rotation.ts';
import { SIGNING_ALGORITHM } from '../auth/signing-key.ts';
import { problems } from './operations.ts';
import { isProblem } from './problem.ts';
import { readQuery } from './query.ts';
import { jsonText } from './respond.ts';
import type { PublicRoute } from './route.ts';

const publicKey = z.strictObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().meta({ description: 'The public key in base64url' }),
  kid: z.string().meta({ description: 'Its thumbprint (RFC 7638)' }),
  alg: z.literal(SIGNING_ALGORITHM),
  use: z.literal('sig'),
});

/** GET /.well-known/jwks.json */
export const readJwks: PublicRoute = {
  method: 'GET',
  path: '/.well-known/jwks.json',
  access: 'public',
  operation: {
    operationId: 'readJwks',
    tags: ['service'],
    summary: 'The public keys that tokens are signed with (RFC 7517)',
    description:
      'Keys that sign, that will sign next, and that have signed what is still good. A new key is here five minutes ' +
      'before it signs, which is as long as this answer may be cached.',
    security: [],
    responses: {
      200: {
        description: 'A JWK Set; empty before the first token was made',
        headers: z.object({ 'Cache-Control': z.string() }),
        content: { 'application/jwk-set+json': { schema: z.strictObject({ keys: z.array(publicKey) }) } },
      },
      ...problems(400),
    },
  },
  async handle(exchange) {
    const query = readQuery(exchange.request, []);
    if (isProblem(query)) return query;
    const living = await livingKeys(exchange.env, 'tokens');
    const keys = living.map(
      ({ kid, publicJwk }): z.infer<typeof publicKey> => ({ ...publicJwk, kid, alg: SIGNING_ALGORITHM, use: 'sig' }),
    );
    return jsonText(exchange, 200, JSON.stringify({ keys }), {
      'Content-Type': 'application/jwk-set+json',
      // The first key of all signs as soon as it is made, so that there is none is not to be remembered.
      'Cache-Control': keys.length > 0 ? `public, max-age=${PUBLISHED_AHEAD_MS / 1000}` : 'no-store',
    });
  },
};
