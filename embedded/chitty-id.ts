import { z } from 'zod';
import { canonicalText } from '../events/canonical.ts';
import {
  type ChittyIdParts,
  didOf,
  ENTITY_TYPES,
  type EntityLetter,
  entityLetter,
  formatChittyId,
  parseChittyId,
  TRUST_LEVELS,
} from '../events/chitty-id.ts';
import { sha256Hex } from '../events/hash.ts';
import { jsonObject, noQuery, shortText, wholeNumber } from './input.ts';
import { cutToPage, type Listed } from './listing.ts';
import { isProblem, KEY_REUSED, notFound, type Problem } from './problem.ts';
import { get, post, type Route, reply, replyText } from './routing.ts';
import { SqliteObject, single } from './storage.ts';

/** The version of the format, as in the ids that are in use. */
const FORMAT_VERSION = '03';
/** Regions in the order in which they are used up; ids in use begin with 1. */
const REGIONS = '123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ0';
/** Sequence numbers of one region: 0001 to 9999. */
const SEQUENCES = 9_999;
/** A code that ISO 3166 leaves to its users: an id from here cannot be taken for one that the world's authority minted. */
const JURISDICTION = 'ZZZ';
/** What is minted here is vouched for by nobody: Anonymous. */
const TRUST_LEVEL = 0;
/** What a context is: a Person that no human is. */
const SYNTHETIC = 'Synthetic';
/** Minted ids in one page at most. */
const PAGE_MAX = 1_000;

/** A request to mint, checked. */
export interface MintOrder {
  readonly type: EntityLetter;
  readonly characterization: string | null;
  /** JSON text. */
  readonly metadata: string;
}

/** An id that was minted. */
export interface Minted {
  /** Its place among all that were ever minted here: 1, 2, 3 … */
  readonly position: number;
  readonly id: string;
  readonly characterization: string | null;
  /** JSON text. */
  readonly metadata: string;
  readonly timestamp: string;
}

/** What the authority says of a text that may be a ChittyID. */
export interface Validation {
  readonly valid: boolean;
  readonly components?: Readonly<Record<string, string | number>>;
  /** Which of the three it is, when it is not valid. */
  readonly error?: 'malformed' | 'wrong-check-number' | 'not-minted';
  readonly detail?: string;
}

/**
 * The authority. It is one object, because a number is given out once in the world and a key must find its answer for
 * ever, whatever month and type it was for: one place in which both are decided and written in the same turn. The
 * format has room for 359,964 ids per type and month, which is what one object can keep for many years.
 */
export class ChittyIdObject extends SqliteObject {
  // The next number is the highest one plus one: there is no counter that could disagree with what was minted.
  protected override readonly tables = `
    CREATE TABLE minted (
      position INTEGER PRIMARY KEY, jurisdiction TEXT NOT NULL, type TEXT NOT NULL, year_month TEXT NOT NULL,
      number INTEGER NOT NULL, id TEXT NOT NULL, characterization TEXT, metadata TEXT NOT NULL, timestamp TEXT NOT NULL,
      UNIQUE (jurisdiction, type, year_month, number)
    );
    CREATE TABLE keys (key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID;
  `;

  /** Mints an id, or gives the one that this key has got. */
  mint(order: MintOrder, key: string | null, now: number): { minted: Minted; isNew: boolean } | Problem {
    const fingerprint = sha256Hex(canonicalText({ ...order }));
    return this.write(() => {
      const [known] = this.sql
        .exec<{ fingerprint: string; position: number }>('SELECT fingerprint, position FROM keys WHERE key = ?', key)
        .toArray();
      if (known && known.fingerprint !== fingerprint) return KEY_REUSED;
      const [earlier] = known ? this.#select('WHERE position = ?', known.position) : [];
      if (earlier) return { minted: earlier, isNew: false };
      const minted = this.#mintNext(order, now);
      if (!isProblem(minted) && key !== null) {
        this.sql.exec('INSERT INTO keys VALUES (?, ?, ?)', key, fingerprint, minted.position);
      }
      return isProblem(minted) ? minted : { minted, isNew: true };
    });
  }

  /** An id that was minted here, null when it was not. */
  find(id: string): Minted | null {
    const parsed = parseChittyId(id);
    if (!parsed || !this.hasTables) return null;
    const { jurisdiction, type, yearMonth, region, sequence } = parsed.parts;
    const number = REGIONS.indexOf(region) * SEQUENCES + Number(sequence) - 1;
    const [found] = this.#select(
      'WHERE jurisdiction = ? AND type = ? AND year_month = ? AND number = ?',
      jurisdiction,
      type,
      yearMonth,
      number,
    );
    return found?.id === id ? found : null;
  }

  /** Tells whether a text is a ChittyID that was minted here, and if not, why. */
  validate(id: string): Validation {
    const parsed = parseChittyId(id);
    if (!parsed?.isAsMinted) {
      const detail = 'A ChittyID has the form VV-G-LLL-SSSS-T-YYMM-C-XX.';
      return { valid: false, error: 'malformed', detail };
    }
    const { parts, check, isCheckRight } = parsed;
    const components = {
      ...parts,
      check,
      entityType: ENTITY_TYPES[parts.type],
      trust: TRUST_LEVELS[parts.trustLevel] ?? '',
    };
    if (!isCheckRight) {
      const detail = `The check number ${check} does not fit the rest: a part was mistyped or made up.`;
      return { valid: false, components, error: 'wrong-check-number', detail };
    }
    if (!this.find(id))
      return { valid: false, components, error: 'not-minted', detail: 'This authority never minted it.' };
    return { valid: true, components };
  }

  /** A page of what was minted, oldest first. */
  list(after: number, limit: number): ReturnType<typeof cutToPage> {
    const minted = this.hasTables ? this.#select('WHERE position > ? ORDER BY position LIMIT ?', after, limit) : [];
    return cutToPage(listed(minted), limit);
  }

  #mintNext({ type, characterization, metadata }: MintOrder, now: number): Minted | Problem {
    const timestamp = new Date(now).toISOString();
    const yearMonth = timestamp.slice(2, 4) + timestamp.slice(5, 7);
    const { number } = this.sql
      .exec<{ number: number }>(
        'SELECT coalesce(max(number) + 1, 0) AS number FROM minted WHERE jurisdiction = ? AND type = ? AND year_month = ?',
        JURISDICTION,
        type,
        yearMonth,
      )
      .one();
    const region = REGIONS.charAt(Math.floor(number / SEQUENCES));
    if (region === '') {
      const detail = `All ${REGIONS.length * SEQUENCES} numbers for type ${type} in ${yearMonth} are given out.`;
      return { problem: 'numbers-exhausted', detail };
    }
    const sequence = String((number % SEQUENCES) + 1).padStart(4, '0');
    const parts: ChittyIdParts = {
      version: FORMAT_VERSION,
      region,
      jurisdiction: JURISDICTION,
      sequence,
      type,
      yearMonth,
      trustLevel: TRUST_LEVEL,
    };
    const id = formatChittyId(parts);
    const { position } = this.sql
      .exec<{ position: number }>(
        `INSERT INTO minted (jurisdiction, type, year_month, number, id, characterization, metadata, timestamp)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING position`,
        JURISDICTION,
        type,
        yearMonth,
        number,
        id,
        characterization,
        metadata,
        timestamp,
      )
      .one();
    return { position, id, characterization, metadata, timestamp };
  }

  #select(where: string, ...bindings: (string | number)[]): Iterable<Minted> {
    const columns = 'position, id, characterization, metadata, timestamp';
    return this.sql.exec<Minted & Record<string, SqlStorageValue>>(
      `SELECT ${columns} FROM minted ${where}`,
      ...bindings,
    );
  }
}

const mintBody = z
  .strictObject({
    entity: z.string().exactOptional(),
    /** What newer callers name the entity. */
    entityType: z.string().exactOptional(),
    characterization: shortText.exactOptional(),
    metadata: jsonObject.exactOptional(),
  })
  .transform(({ entity, entityType, characterization, metadata }, context): MintOrder => {
    const name = entity ?? entityType;
    const type = name === undefined ? null : entityLetter(name);
    const isContext = name === 'CONTEXT';
    if (entityType !== undefined && type !== null && entityLetter(entityType) !== type) {
      context.addIssue({ code: 'custom', path: ['entityType'], message: 'is another one than entity' });
      return z.NEVER;
    }
    if (name === undefined) {
      context.addIssue({ code: 'custom', path: ['entity'], message: 'is required' });
      return z.NEVER;
    }
    if (type === null) {
      const message = `must be one of ${Object.keys(ENTITY_TYPES).join(', ')} or an older name such as PEO`;
      context.addIssue({ code: 'custom', path: [entity === undefined ? 'entityType' : 'entity'], message });
      return z.NEVER;
    }
    if (isContext && characterization !== undefined && characterization !== SYNTHETIC) {
      context.addIssue({ code: 'custom', path: ['characterization'], message: `of a context is ${SYNTHETIC}` });
    }
    const kind = characterization ?? (isContext ? SYNTHETIC : null);
    return { type, characterization: kind, metadata: canonicalText(metadata ?? {}) };
  });

/** What is known of an id, as JSON text. */
function describe({ id, characterization, metadata, timestamp }: Minted, withMetadata: boolean): string {
  const letter = parseChittyId(id)?.parts.type ?? 'T';
  const head = JSON.stringify({
    id,
    did: didOf(id),
    entityType: ENTITY_TYPES[letter],
    entity: letter,
    characterization,
    trustLevel: TRUST_LEVEL,
    trust: TRUST_LEVELS[TRUST_LEVEL],
    lifecycle: 'active',
    timestamp,
  });
  return withMetadata ? `${head.slice(0, -1)},"metadata":${metadata}}` : head;
}

/** What was minted as a list has it, one after the other: all of it may be more than an object can hold. */
function* listed(minted: Iterable<Minted>): Iterable<Listed> {
  for (const item of minted) yield { key: String(item.position), text: describe(item, true) };
}

/** What a DID resolves to (W3C DID Core 1.0, section 5). */
function didDocument(id: string): object {
  return {
    '@context': 'https://www.w3.org/ns/did/v1',
    id: didOf(id),
    alsoKnownAs: [`https://id.chitty.cc/v1/${id}/info`],
  };
}

/** ChittyID: the authority that mints ChittyIDs and tells whether it did. */
export const idRoutes: readonly Route[] = [
  post('/v1/mint', mintBody, async ({ env, idempotencyKey, now }, order) => {
    const outcome = await single(env.CHITTY_ID).mint(order, idempotencyKey, now);
    return isProblem(outcome) ? outcome : replyText(describe(outcome.minted, false), outcome.isNew);
  }),
  post('/v1/validate', z.strictObject({ chittyid: z.string() }), async ({ env }, { chittyid }) =>
    reply(await single(env.CHITTY_ID).validate(chittyid)),
  ),
  get('/v1/:id/info', noQuery, async ({ env, params: { id = '' } }) => {
    const minted = await single(env.CHITTY_ID).find(id);
    return minted ? { status: 200, text: describe(minted, true) } : notFound('ChittyID like this');
  }),
  get('/v1/:id/did', noQuery, async ({ env, params: { id = '' } }) => {
    const minted = await single(env.CHITTY_ID).find(id);
    return minted ? reply({ id, did: didOf(id), document: didDocument(id) }) : notFound('ChittyID like this');
  }),
  get(
    '/v1/minted',
    z.strictObject({
      after: wholeNumber(0, Number.MAX_SAFE_INTEGER).default(0),
      limit: wholeNumber(1, PAGE_MAX).default(100),
    }),
    async ({ env }, { after, limit }) => {
      const { page, isFull } = await single(env.CHITTY_ID).list(after, limit);
      const next = isFull ? (page.at(-1)?.key ?? null) : null;
      return { status: 200, text: `{"minted":[${page.map(({ text }) => text).join()}],"nextAfter":${next}}` };
    },
  ),
];
