import { z } from 'zod';
import { canonicalText } from '../events/canonical.ts';
import { sha256Hex } from '../events/hash.ts';
import { derivedId, isId } from '../events/id.ts';
import type { JsonObject } from '../events/json.ts';
import { base64url } from './base64url.ts';
import { findVerification } from './chitty-verify.ts';
import { noQuery, reference, shortText } from './input.ts';
import { cutToPage, type Listed, listingQuery, mergePages } from './listing.ts';
import { notFound, type Problem } from './problem.ts';
import { type Answer, type Call, get, post, type Route, reply, replyText } from './routing.ts';
import { allPartitions, partition, SqliteObject, single } from './storage.ts';

/** The prefix of a certificate's id. */
const CERTIFICATE_PREFIX = 'crt';
/** Who issues the certificates. */
const ISSUER = 'https://certify.chitty.cc';
/** How long a certificate is good. */
const CERTIFICATE_TTL_MS = 365 * 24 * 60 * 60 * 1000;
/** Rules that one certificate names at most. */
const RULES_MAX = 100;
/** Hexadecimal digits of the hash by which a public key is named. */
const KEY_NAME_DIGITS = 16;

/** The public half of the signing key (RFC 8037). */
export interface PublicKey {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  /** base64url */
  readonly x: string;
  readonly kid: string;
}

const storedKey = z.object({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string(), d: z.string() });

/**
 * Keeps certificates, spread over partitions by their id; they are never changed. The one object `single` keeps the
 * signing key instead, and signs for all of them: the private key never leaves it.
 */
export class ChittyCertifyObject extends SqliteObject {
  protected override readonly tables = `
    CREATE TABLE certificates (id TEXT PRIMARY KEY, certificate TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE signing_key (one INTEGER PRIMARY KEY CHECK (one = 1), jwk TEXT NOT NULL);
  `;

  /** Keeps a certificate, or finds the one with its id. @returns it as JSON text */
  keep(id: string, certificate: string): { text: string; isNew: boolean } {
    const known = this.find(id);
    if (known !== null) return { text: known, isNew: false };
    this.write(() => this.sql.exec('INSERT INTO certificates VALUES (?, ?)', id, certificate));
    return { text: certificate, isNew: true };
  }

  /** A certificate as JSON text, null when there is none with this id. */
  find(id: string): string | null {
    if (!this.hasTables) return null;
    const query = 'SELECT certificate FROM certificates WHERE id = ?';
    return this.sql.exec<{ certificate: string }>(query, id).toArray()[0]?.certificate ?? null;
  }

  /** Certificates in the order of their ids, after one. */
  list(after: string, limit: number): Listed[] {
    if (!this.hasTables) return [];
    const query = 'SELECT id AS key, certificate AS text FROM certificates WHERE id > ? ORDER BY id LIMIT ?';
    return cutToPage(this.sql.exec<{ key: string; text: string }>(query, after, limit), limit).page;
  }

  /** The key that signatures are checked with. */
  async publicKey(): Promise<PublicKey> {
    const { kty, crv, x } = await this.#key();
    return { kty, crv, x, kid: sha256Hex(x).slice(0, KEY_NAME_DIGITS) };
  }

  /** Signs a text with Ed25519 (RFC 8032). @returns the signature in base64url */
  async sign(text: string): Promise<string> {
    const key = await crypto.subtle.importKey('jwk', await this.#key(), 'Ed25519', false, ['sign']);
    const signature = await crypto.subtle.sign('Ed25519', key, new TextEncoder().encode(text));
    return base64url(new Uint8Array(signature));
  }

  async #key(): Promise<z.infer<typeof storedKey>> {
    const known = this.#storedKey();
    if (known) return known;
    const made = await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify']);
    if (!('privateKey' in made)) throw new Error('Ed25519 gave no key pair');
    const jwk = storedKey.parse(await crypto.subtle.exportKey('jwk', made.privateKey));
    // While this key was made another call may have kept one: the first stays.
    this.write(() => this.sql.exec('INSERT OR IGNORE INTO signing_key VALUES (1, ?)', JSON.stringify(jwk)));
    return this.#storedKey() ?? jwk;
  }

  #storedKey(): z.infer<typeof storedKey> | null {
    if (!this.hasTables) return null;
    const [row] = this.sql.exec<{ jwk: string }>('SELECT jwk FROM signing_key').toArray();
    return row ? storedKey.parse(JSON.parse(row.jwk)) : null;
  }
}

const certifyBody = z.strictObject({
  verification: reference('id'),
  compliantWith: z.array(shortText).min(1, 'must name a rule').max(RULES_MAX, `must have at most ${RULES_MAX} items`),
  securityLevel: shortText,
});

const refused = (detail: string): Problem => ({ problem: 'not-verified', detail });

/** Issues a certificate. Its id follows from what is certified: asked for again, it is the one that was issued. */
async function certify(
  { env, now }: Call,
  kind: 'context' | 'service',
  { verification: verificationId, compliantWith, securityLevel }: z.infer<typeof certifyBody>,
): Promise<Answer> {
  const verification = await findVerification(env, verificationId);
  if (!verification) return refused('There is no verification with this id.');
  if (verification.status !== 'verified') return refused('This verification failed.');
  if (kind === 'context' && verification.kind !== 'context') return refused('This verification is not of a context.');
  const subject = verification.chittyid;
  const matter = { kind, subject, verification: verificationId, compliantWith, securityLevel };
  const id = derivedId(CERTIFICATE_PREFIX, canonicalText(matter));
  const object = partition(env.CHITTY_CERTIFY, id);
  const known = await object.find(id);
  if (known !== null) return replyText(known, false);

  const publicKey = await single(env.CHITTY_CERTIFY).publicKey();
  const certificate: JsonObject = {
    id,
    ...matter,
    status: 'certified',
    issuer: ISSUER,
    issuedAt: new Date(now).toISOString(),
    expiresAt: new Date(now + CERTIFICATE_TTL_MS).toISOString(),
    proof: { type: 'Ed25519', publicKey: { ...publicKey } },
  };
  const signature = await single(env.CHITTY_CERTIFY).sign(canonicalText(certificate));
  const signed = { ...certificate, proof: { type: 'Ed25519', publicKey, signature } };
  const { text, isNew } = await object.keep(id, JSON.stringify(signed));
  return replyText(text, isNew);
}

/** ChittyCertify: signed certificates of what was verified. */
export const certifyRoutes: readonly Route[] = [
  post('/api/certify/context', certifyBody, (call, body) => certify(call, 'context', body)),
  post('/api/certify/service', certifyBody, (call, body) => certify(call, 'service', body)),
  get('/api/certificates', listingQuery, async ({ env }, { after, limit }) => {
    const pages = allPartitions(env.CHITTY_CERTIFY).map((object) => object.list(after, limit));
    return mergePages('certificates', await Promise.all(pages), limit);
  }),
  get('/api/certificates/:id', noQuery, async ({ env, params: { id = '' } }) => {
    const text = isId(CERTIFICATE_PREFIX, id) ? await partition(env.CHITTY_CERTIFY, id).find(id) : null;
    return text === null ? notFound('certificate with this id') : { status: 200, text };
  }),
  get('/api/keys', noQuery, async ({ env }) =>
    reply({ keys: [{ ...(await single(env.CHITTY_CERTIFY).publicKey()), use: 'sig', alg: 'EdDSA' }] }),
  ),
];
