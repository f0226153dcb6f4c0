import { z } from 'zod';
import { canonicalText } from '../events/canonical.ts';
import { derivedId, isId } from '../events/id.ts';
import { findKeys } from './chitty-auth.ts';
import { dnaObject } from './chitty-dna.ts';
import type { EmbeddedEnv } from './env.ts';
import { noQuery, reference, shortText } from './input.ts';
import { notFound } from './problem.ts';
import { type Answer, type Call, get, post, type Route, replyText } from './routing.ts';
import { partition, SqliteObject, single } from './storage.ts';

/** The prefix of a verification's id. */
const VERIFICATION_PREFIX = 'ver';
/** Keys that one context is verified with at most. */
const KEYS_MAX = 100;

/** One thing that was checked. */
interface Check {
  readonly name: 'chittyid' | 'dna' | 'apiKeys';
  readonly passed: boolean;
  /** What is wrong; null when nothing is. */
  readonly detail: string | null;
}

const verificationSchema = z.object({
  id: z.string(),
  kind: z.enum(['context', 'chittyid', 'dna', 'apikey']),
  chittyid: z.string(),
  status: z.enum(['verified', 'failed']),
});

/** What others need to know of a verification. */
export type Verification = z.infer<typeof verificationSchema>;

/** Keeps verifications, spread over partitions by their id. They are never changed. */
export class ChittyVerifyObject extends SqliteObject {
  protected override readonly tables =
    'CREATE TABLE verifications (id TEXT PRIMARY KEY, verification TEXT NOT NULL) WITHOUT ROWID';

  /** Keeps a verification, or finds the one with its id. @returns it as JSON text */
  keep(id: string, verification: string): { text: string; isNew: boolean } {
    const known = this.find(id);
    if (known !== null) return { text: known, isNew: false };
    this.write(() => this.sql.exec('INSERT INTO verifications VALUES (?, ?)', id, verification));
    return { text: verification, isNew: true };
  }

  /** A verification as JSON text, null when there is none with this id. */
  find(id: string): string | null {
    if (!this.hasTables) return null;
    const query = 'SELECT verification FROM verifications WHERE id = ?';
    return this.sql.exec<{ verification: string }>(query, id).toArray()[0]?.verification ?? null;
  }
}

/** A verification by its id. Asks no object for an id that cannot exist. */
export async function findVerification(env: EmbeddedEnv, id: string): Promise<Verification | null> {
  const text = await findText(env, id);
  return text === null ? null : verificationSchema.parse(JSON.parse(text));
}

async function findText(env: EmbeddedEnv, id: string): Promise<string | null> {
  return isId(VERIFICATION_PREFIX, id) ? partition(env.CHITTY_VERIFY, id).find(id) : null;
}

async function checkChittyId(env: EmbeddedEnv, chittyid: string): Promise<Check> {
  const { valid, detail } = await single(env.CHITTY_ID).validate(chittyid);
  return { name: 'chittyid', passed: valid, detail: detail ?? null };
}

async function checkDna(env: EmbeddedEnv, chittyid: string, dna: string): Promise<Check> {
  const record = (await dnaObject(env, dna)?.describe()) ?? null;
  const detail = record === null ? 'There is no such DNA record.' : 'The DNA record belongs to another ChittyID.';
  const passed = record?.chittyid === chittyid;
  return { name: 'dna', passed, detail: passed ? null : detail };
}

async function checkKeys(env: EmbeddedEnv, chittyid: string, keyIds: readonly string[]): Promise<Check> {
  const failed = (detail: string): Check => ({ name: 'apiKeys', passed: false, detail });
  if (keyIds.length === 0) return failed('There are no API keys.');
  const found = await Promise.all(keyIds.map((keyId) => findKeys(env, keyId)));
  for (const [index, record] of found.entries()) {
    const keyId = keyIds[index];
    if (!record) return failed(`There are no API keys with the id ${keyId}.`);
    // Keys say for whom they are by their context, or were asked for with X-ChittyID.
    if (record.chittyid !== chittyid && record.context !== chittyid) {
      return failed(`The API keys ${keyId} were provisioned for something else.`);
    }
  }
  return { name: 'apiKeys', passed: true, detail: null };
}

/**
 * Keeps and answers what the checks came to. The id follows from what was checked and what was found: asked again about
 * the same, the answer is the same verification, and when things have changed it is a new one.
 */
async function conclude(
  { env, now }: Call,
  kind: Verification['kind'],
  evidence: { chittyid: string; dna?: string; apiKeys?: readonly string[] },
  checks: readonly Check[],
): Promise<Answer> {
  const finding = { kind, evidence: { ...evidence }, checks: checks.map((check) => ({ ...check })) };
  const id = derivedId(VERIFICATION_PREFIX, canonicalText(finding));
  const valid = checks.every((check) => check.passed);
  const status: Verification['status'] = valid ? 'verified' : 'failed';
  const verifiedAt = new Date(now).toISOString();
  const verification = { id, kind, chittyid: evidence.chittyid, status, valid, evidence, checks, verifiedAt };
  const { text, isNew } = await partition(env.CHITTY_VERIFY, id).keep(id, JSON.stringify(verification));
  return replyText(text, isNew);
}

const keyReference = reference('keyId');

const contextBody = z.strictObject({
  chittyid: shortText,
  dna: reference('id'),
  apiKeys: z.union([z.array(keyReference).max(KEYS_MAX), keyReference.transform((keyId) => [keyId])], {
    error: `must be a key id, an object with "keyId", or up to ${KEYS_MAX} of them`,
  }),
});

/** ChittyVerify: whether what is claimed is so. */
export const verifyRoutes: readonly Route[] = [
  post('/api/verify/context', contextBody, async (call, { chittyid, dna, apiKeys }) => {
    const checks = await Promise.all([
      checkChittyId(call.env, chittyid),
      checkDna(call.env, chittyid, dna),
      checkKeys(call.env, chittyid, apiKeys),
    ]);
    return conclude(call, 'context', { chittyid, dna, apiKeys }, checks);
  }),
  post('/api/verify/chittyid', z.strictObject({ chittyid: shortText }), async (call, { chittyid }) =>
    conclude(call, 'chittyid', { chittyid }, [await checkChittyId(call.env, chittyid)]),
  ),
  post(
    '/api/verify/dna',
    z.strictObject({ chittyid: shortText, dna: reference('id') }),
    async (call, { chittyid, dna }) =>
      conclude(call, 'dna', { chittyid, dna }, [await checkDna(call.env, chittyid, dna)]),
  ),
  post(
    '/api/verify/apikey',
    z.strictObject({ chittyid: shortText, keyId: shortText }),
    async (call, { chittyid, keyId }) =>
      conclude(call, 'apikey', { chittyid, apiKeys: [keyId] }, [await checkKeys(call.env, chittyid, [keyId])]),
  ),
  get('/api/verifications/:id', noQuery, async ({ env, params: { id = '' } }) => {
    const text = await findText(env, id);
    return text === null ? notFound('verification with this id') : { status: 200, text };
  }),
];
