import { z } from 'zod';
import { didOf, type EntityLetter, isChittyId } from '../../events/chitty-id.ts';
import { foreignId } from './answer.ts';
import { type CallOptions, type Connection, call, type Operation } from './call.ts';

/** What a ChittyID is asked for. A context is a Person (`P`) with the characterization `Synthetic`. */
export interface MintRequest {
  readonly entity: EntityLetter;
  readonly characterization?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

const mintAnswer = z
  .looseObject({
    id: z.string().optional(),
    chittyId: z.string().optional(),
    chittyid: z.string().optional(),
    did: foreignId.optional(),
    entityType: z.string().optional(),
    trustLevel: z.union([z.int(), z.string()]).optional(),
    lifecycle: z.string().optional(),
    timestamp: z.string().optional(),
  })
  .transform(({ id, chittyId, chittyid, did, ...rest }, context) => {
    // The members have been named differently over time, and an `id` may be something else than the ChittyID.
    const minted = [chittyId, chittyid, id].find((candidate) => candidate !== undefined && isChittyId(candidate));
    if (minted === undefined) {
      context.addIssue({ code: 'custom', message: 'holds no ChittyID whose check number is right' });
      return z.NEVER;
    }
    return { ...rest, id: minted, did: did ?? didOf(minted) };
  });

const mint: Operation<z.infer<typeof mintAnswer>> = { name: 'mint', method: 'POST', answer: mintAnswer };

const validationAnswer = z.looseObject({
  valid: z.boolean(),
  components: z.looseObject({}).nullish(),
  error: z.string().nullish(),
});

const validate: Operation<z.infer<typeof validationAnswer>> = {
  name: 'validate',
  method: 'POST',
  answer: validationAnswer,
  isIdempotent: true,
  mayCarryError: true,
};

const text = z.string().optional();

/** What is known of an id. It names the id it is about, in one of the ways that have been in use. */
const description = z
  .looseObject({ id: text, chittyId: text, chittyid: text, did: text })
  .refine((answer) => [answer.id, answer.chittyId, answer.chittyid, answer.did].some(Boolean), 'names no id');

type Description = z.infer<typeof description>;

const info: Operation<Description> = { name: 'info', method: 'GET', answer: description };
const did: Operation<Description> = { name: 'did', method: 'GET', answer: description };

/** ChittyID: the only authority that gives ChittyIDs. */
export function chittyIdClient(connection: Connection) {
  return {
    /**
     * Asks for a new ChittyID. Repeated only when it carries an Idempotency-Key; without one, a call that got no
     * answer may have minted an id that nobody knows.
     */
    mint(request: MintRequest, options?: CallOptions) {
      // Newer code of the authority names the entity `entityType`.
      const body = { ...request, entityType: request.entity };
      return call(connection, mint, { path: ['v1', 'mint'], body }, options);
    },
    /** Asks whether a ChittyID was minted. One that was not is an answer, `{valid: false, error}`, and no failure. */
    validate(chittyid: string, options?: CallOptions) {
      return call(connection, validate, { path: ['v1', 'validate'], body: { chittyid } }, options);
    },
    /** What the authority knows of a ChittyID. */
    info(chittyid: string, options?: CallOptions) {
      return call(connection, info, { path: ['v1', chittyid, 'info'], chittyId: chittyid }, options);
    },
    /** The DID document of a ChittyID. */
    did(chittyid: string, options?: CallOptions) {
      return call(connection, did, { path: ['v1', chittyid, 'did'], chittyId: chittyid }, options);
    },
  };
}
