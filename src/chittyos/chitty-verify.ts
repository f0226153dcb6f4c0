import { z } from 'zod';
import { foreignId, keptText } from './answer.ts';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';

/** What a context is verified by. */
export interface ContextEvidence {
  readonly chittyid: string;
  /** The id of its DNA record. */
  readonly dna: string;
  /** The id of its API keys; never a key. */
  readonly apiKeys: string;
}

const contextAnswer = z.looseObject({ id: foreignId, status: keptText(100) });

const verifyContext: Operation<z.infer<typeof contextAnswer>> = {
  name: 'verifyContext',
  method: 'POST',
  answer: contextAnswer,
  // A second verification of the same evidence is one more record and does no harm.
  isIdempotent: true,
};

const checkAnswer = z
  .looseObject({
    valid: z.boolean().optional(),
    status: z.string().optional(),
    error: z.string().nullish(),
  })
  .refine(({ valid, status }) => valid !== undefined || status !== undefined, 'has neither "valid" nor "status"');

const check = (name: string): Operation<z.infer<typeof checkAnswer>> => ({
  name,
  method: 'POST',
  answer: checkAnswer,
  isIdempotent: true,
  mayCarryError: true,
});

const checkChittyId = check('chittyid');
const checkDna = check('dna');
const checkApiKey = check('apikey');

/** ChittyVerify: checks what others claim. It only reads, so that everything may be repeated. */
export function chittyVerifyClient(connection: Connection) {
  return {
    /** Verifies that a context's identity, record and keys belong together. */
    verifyContext(evidence: ContextEvidence, options?: CallOptions) {
      const { chittyid, dna, apiKeys } = evidence;
      const request = { path: ['api', 'verify', 'context'], body: { chittyid, dna, apiKeys }, chittyId: chittyid };
      return call(connection, verifyContext, request, options);
    },
    /** Verifies that a ChittyID is one. */
    chittyid(chittyid: string, options?: CallOptions) {
      const request = { path: ['api', 'verify', 'chittyid'], body: { chittyid }, chittyId: chittyid };
      return call(connection, checkChittyId, request, options);
    },
    /** Verifies that a DNA record exists and belongs to an entity. */
    dna(chittyid: string, dna: string, options?: CallOptions) {
      const request = { path: ['api', 'verify', 'dna'], body: { chittyid, dna }, chittyId: chittyid };
      return call(connection, checkDna, request, options);
    },
    /** Verifies that API keys, named by their id, belong to an entity. */
    apikey(chittyid: string, keyId: string, options?: CallOptions) {
      const request = { path: ['api', 'verify', 'apikey'], body: { chittyid, keyId }, chittyId: chittyid };
      return call(connection, checkApiKey, request, options);
    },
  };
}
