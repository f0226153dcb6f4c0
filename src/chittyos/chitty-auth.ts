import { z } from 'zod';
import { foreignId } from './answer.ts';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';

/** Which keys are asked for. */
export interface ProvisionRequest {
  /** The service that will use them, such as `chittyconnect`. */
  readonly service: string;
  /** The context they are for. */
  readonly context: string;
  readonly scopes: readonly string[];
}

const keysAnswer = z.looseObject({
  keyId: foreignId,
  /** The key itself. A repeated request may be answered without it: it is shown once. */
  key: z.string().min(1).nullish(),
});

const provision: Operation<z.infer<typeof keysAnswer>> = { name: 'provisionKeys', method: 'POST', answer: keysAnswer };

const verificationAnswer = z.looseObject({ valid: z.boolean(), error: z.string().nullish() });

const verify: Operation<z.infer<typeof verificationAnswer>> = {
  name: 'verify',
  method: 'POST',
  answer: verificationAnswer,
  isIdempotent: true,
  mayCarryError: true,
};

const tokensAnswer = z
  .looseObject({
    token: z.string().min(1).optional(),
    accessToken: z.string().min(1).optional(),
    refreshToken: z.string().min(1).nullish(),
  })
  .transform(({ token, accessToken, ...rest }, context) => {
    const fresh = token ?? accessToken;
    if (fresh !== undefined) return { ...rest, token: fresh };
    context.addIssue({ code: 'custom', path: ['token'], message: 'is missing' });
    return z.NEVER;
  });

const refresh: Operation<z.infer<typeof tokensAnswer>> = { name: 'refresh', method: 'POST', answer: tokensAnswer };

/** ChittyAuth: API keys. What it answers holds secrets: it belongs in no event and no log. */
export function chittyAuthClient(connection: Connection) {
  return {
    /** Asks for API keys for an entity. Repeated only when it carries an Idempotency-Key. */
    provisionKeys(chittyid: string, request: ProvisionRequest, options?: CallOptions) {
      const { service, context, scopes } = request;
      const body = { service, context, scopes };
      return call(connection, provision, { path: ['api', 'keys', 'provision'], body, chittyId: chittyid }, options);
    },
    /** Asks whether a key or token is good. A bad one is an answer, `{valid: false}`, and no failure. */
    verify(token: string, options?: CallOptions) {
      return call(connection, verify, { path: ['api', 'verify'], body: { token }, secrets: [token] }, options);
    },
    /** Trades a refresh token for a new token. Not repeated: the service may take each refresh token only once. */
    refresh(refreshToken: string, options?: CallOptions) {
      const request = { path: ['api', 'refresh'], body: { refreshToken }, secrets: [refreshToken] };
      return call(connection, refresh, request, options);
    },
  };
}
