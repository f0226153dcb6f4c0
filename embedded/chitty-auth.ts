import { z } from 'zod';
import { canonicalText } from '../events/canonical.ts';
import { sha256Hex } from '../events/hash.ts';
import { derivedId, isId, newId } from '../events/id.ts';
import { base64url } from './base64url.ts';
import type { EmbeddedEnv } from './env.ts';
import { noQuery, shortText } from './input.ts';
import { cutToPage, type Listed, listingQuery, mergePages } from './listing.ts';
import { isProblem, KEY_REUSED, notFound, type Problem } from './problem.ts';
import { get, post, type Route, reply, replyText } from './routing.ts';
import { allPartitions, partition, SqliteObject } from './storage.ts';

/** The prefix of the id of a grant of keys. */
const KEY_PREFIX = 'key';
/** How long a key is good. */
const KEY_TTL_MS = 90 * 24 * 60 * 60 * 1000;
/** How long a refresh token is good: longer than the key that it replaces. */
const REFRESH_TTL_MS = 180 * 24 * 60 * 60 * 1000;
/** Random bytes of a secret. */
const SECRET_BYTES = 32;
/** Scopes that one key has at most. */
const SCOPES_MAX = 100;

/** What keys are for. */
interface Grant {
  readonly service: string;
  readonly context: string;
  /** The X-ChittyID that they were asked for with. */
  readonly chittyid: string | null;
  readonly scopes: readonly string[];
}

/** What is known of keys; never a key. */
export interface KeyRecord extends Grant {
  readonly keyId: string;
  readonly createdAt: string;
}

/** A key and the token that replaces it; they are shown once. */
interface Secrets {
  readonly key: string;
  readonly refreshToken: string;
  readonly expiresAt: string;
}

type Kind = 'key' | 'refresh';

/**
 * Keys are spread over partitions by their id, which every key carries, so that no directory is needed to find one. Of
 * secrets only hashes are kept.
 */
export class ChittyAuthObject extends SqliteObject {
  protected override readonly tables = `
    CREATE TABLE grants (key_id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE secrets (
      hash TEXT PRIMARY KEY, key_id TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, expires_at INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX secrets_by_grant ON secrets (key_id);
  `;

  /** Makes keys under an id, once: `secrets` is null when they were made before. */
  provision(keyId: string, grant: Grant, now: number): { record: KeyRecord; secrets: Secrets | null } | Problem {
    const fingerprint = sha256Hex(canonicalText({ ...grant }));
    return this.write(() => {
      const [known] = this.#grants(keyId);
      if (known) return known.fingerprint === fingerprint ? { record: known.record, secrets: null } : KEY_REUSED;
      const record: KeyRecord = { keyId, ...grant, createdAt: new Date(now).toISOString() };
      this.sql.exec('INSERT INTO grants VALUES (?, ?, ?)', keyId, fingerprint, JSON.stringify(record));
      return { record, secrets: this.#makeSecrets(keyId, now) };
    });
  }

  /** What is known of keys, null when there are none with this id. */
  find(keyId: string): KeyRecord | null {
    return (this.hasTables ? this.#grants(keyId)[0]?.record : undefined) ?? null;
  }

  /** What is known of keys, in the order of their ids, after one. */
  list(after: string, limit: number): Listed[] {
    if (!this.hasTables) return [];
    const query = 'SELECT key_id AS key, record AS text FROM grants WHERE key_id > ? ORDER BY key_id LIMIT ?';
    return cutToPage(this.sql.exec<{ key: string; text: string }>(query, after, limit), limit).page;
  }

  /** Whether a key is good, and if not, why. */
  verify(
    keyId: string,
    key: string,
    now: number,
  ): { record: KeyRecord; expiresAt: string } | 'unknown' | 'revoked' | 'expired' {
    const secret = this.#secret(key, 'key');
    const record = this.find(keyId);
    if (!secret || !record || secret.key_id !== keyId) return 'unknown';
    if (secret.state !== 'live') return 'revoked';
    return secret.expires_at > now ? { record, expiresAt: new Date(secret.expires_at).toISOString() } : 'expired';
  }

  /**
   * Trades a refresh token for a new key and a new refresh token; the old ones are no good afterwards. One that comes a
   * second time was stolen or was copied: everything of its grant is revoked (RFC 9700, section 4.14.2).
   */
  refresh(keyId: string, token: string, now: number): { record: KeyRecord; secrets: Secrets } | Problem {
    const refused = (detail: string): Problem => ({ problem: 'refresh-refused', detail });
    const secret = this.#secret(token, 'refresh');
    const record = this.find(keyId);
    if (!secret || !record || secret.key_id !== keyId) return refused('There is no such refresh token.');
    if (secret.state !== 'live') {
      this.#revokeAll(keyId);
      return refused('This refresh token was used before. Its keys are revoked; provision new ones.');
    }
    if (secret.expires_at <= now) return refused('This refresh token has expired. Provision new keys.');
    return this.write(() => {
      this.#revokeAll(keyId);
      return { record, secrets: this.#makeSecrets(keyId, now) };
    });
  }

  #makeSecrets(keyId: string, now: number): Secrets {
    const make = (kind: Kind, expiresAt: number): string => {
      const random = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
      const secret = `${keyId}.${kind}.${base64url(random)}`;
      this.sql.exec("INSERT INTO secrets VALUES (?, ?, ?, 'live', ?)", sha256Hex(secret), keyId, kind, expiresAt);
      return secret;
    };
    const expiresAt = now + KEY_TTL_MS;
    return {
      key: make('key', expiresAt),
      refreshToken: make('refresh', now + REFRESH_TTL_MS),
      expiresAt: new Date(expiresAt).toISOString(),
    };
  }

  #revokeAll(keyId: string): void {
    this.sql.exec("UPDATE secrets SET state = 'revoked' WHERE key_id = ? AND state = 'live'", keyId);
  }

  #secret(text: string, kind: Kind) {
    if (!this.hasTables) return undefined;
    return this.sql
      .exec<{ key_id: string; state: string; expires_at: number }>(
        'SELECT key_id, state, expires_at FROM secrets WHERE hash = ? AND kind = ?',
        sha256Hex(text),
        kind,
      )
      .toArray()[0];
  }

  #grants(keyId: string): { fingerprint: string; record: KeyRecord }[] {
    return this.sql
      .exec<{ fingerprint: string; record: string }>('SELECT fingerprint, record FROM grants WHERE key_id = ?', keyId)
      .toArray()
      .map(({ fingerprint, record }) => ({ fingerprint, record: keyRecord.parse(JSON.parse(record)) }));
  }
}

const keyRecord = z.object({
  keyId: z.string(),
  service: z.string(),
  context: z.string(),
  chittyid: z.string().nullable(),
  scopes: z.array(z.string()),
  createdAt: z.string(),
});

const provisionBody = z.strictObject({
  service: shortText,
  context: shortText,
  scopes: z.array(shortText).max(SCOPES_MAX, `must have at most ${SCOPES_MAX} items`),
});

/** What is known of the keys with this id, null when there are none. Asks no object for an id that cannot exist. */
export async function findKeys(env: EmbeddedEnv, keyId: string): Promise<KeyRecord | null> {
  return isId(KEY_PREFIX, keyId) ? partition(env.CHITTY_AUTH, keyId).find(keyId) : null;
}

/** The id of the keys that a secret belongs to; null when it is none of ours. */
function keyIdOf(secret: string): string | null {
  const [keyId = ''] = secret.split('.', 1);
  return isId(KEY_PREFIX, keyId) ? keyId : null;
}

/** ChittyAuth: API keys for services, shown once, kept as hashes, rotated by refresh tokens. */
export const authRoutes: readonly Route[] = [
  post('/api/keys/provision', provisionBody, async ({ env, idempotencyKey, chittyId, now }, body) => {
    const keyId = idempotencyKey === null ? newId(KEY_PREFIX, now) : derivedId(KEY_PREFIX, idempotencyKey);
    const outcome = await partition(env.CHITTY_AUTH, keyId).provision(keyId, { ...body, chittyid: chittyId }, now);
    if (isProblem(outcome)) return outcome;
    const { record, secrets } = outcome;
    return replyText(JSON.stringify({ ...record, ...secrets }), secrets !== null);
  }),
  get('/api/keys', listingQuery, async ({ env }, { after, limit }) => {
    const pages = allPartitions(env.CHITTY_AUTH).map((object) => object.list(after, limit));
    return mergePages('keys', await Promise.all(pages), limit);
  }),
  get('/api/keys/:keyId', noQuery, async ({ env, params: { keyId = '' } }) => {
    const record = await findKeys(env, keyId);
    return record ? reply(record) : notFound('key with this id');
  }),
  post('/api/verify', z.strictObject({ token: z.string() }), async ({ env, now }, { token }) => {
    const keyId = keyIdOf(token);
    const outcome = keyId === null ? 'unknown' : await partition(env.CHITTY_AUTH, keyId).verify(keyId, token, now);
    if (typeof outcome === 'string') return reply({ valid: false, error: outcome });
    return reply({ valid: true, ...outcome.record, expiresAt: outcome.expiresAt });
  }),
  post('/api/refresh', z.strictObject({ refreshToken: z.string() }), async ({ env, now }, { refreshToken }) => {
    const keyId = keyIdOf(refreshToken);
    if (keyId === null) return { problem: 'refresh-refused', detail: 'This is no refresh token.' };
    const outcome = await partition(env.CHITTY_AUTH, keyId).refresh(keyId, refreshToken, now);
    if (isProblem(outcome)) return outcome;
    const { record, secrets } = outcome;
    // `token` is what a refreshed key is called where it is read; `key` is what it was called when it was provisioned.
    return reply({ ...record, ...secrets, token: secrets.key });
  }),
];
