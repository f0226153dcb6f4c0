/** Entity types of a ChittyID, by their letter. */
export const ENTITY_TYPES = { P: 'Person', L: 'Location', T: 'Thing', E: 'Event', A: 'Authority' } as const;

/** The letter of an entity type. */
export type EntityLetter = keyof typeof ENTITY_TYPES;

/** Trust levels by their digit. */
export const TRUST_LEVELS = ['Anonymous', 'Basic', 'Enhanced', 'Professional', 'Institutional', 'Official'] as const;

/** The names of entity types in older code, and what they are now. */
const OLDER_NAMES: ReadonlyMap<string, EntityLetter> = new Map([
  ['PEO', 'P'],
  ['ACTOR', 'P'],
  ['CONTEXT', 'P'],
  ['PLACE', 'L'],
  ['PROP', 'T'],
  ['INFO', 'T'],
  ['FACT', 'T'],
  ['EVNT', 'E'],
  ['AUTH', 'A'],
]);

/** The parts of a ChittyID, without its check number. */
export interface ChittyIdParts {
  /** Two digits: the version of the format. */
  readonly version: string;
  /** One of 0-9 and A-Z. */
  readonly region: string;
  /** Three letters. */
  readonly jurisdiction: string;
  /** Four digits. */
  readonly sequence: string;
  readonly type: EntityLetter;
  /** YYMM. */
  readonly yearMonth: string;
  /** 0 to 5, an index into `TRUST_LEVELS`. */
  readonly trustLevel: number;
}

const CHITTY_ID = /^(\d{2})-([A-Z0-9])-([A-Z]{3})-(\d{4})-([PLTEA])-(\d{2}(?:0[1-9]|1[0-2]))-([0-5])-(\d{1,2})$/;

function isEntityLetter(text: string): text is EntityLetter {
  return Object.hasOwn(ENTITY_TYPES, text);
}

/** The letter of an entity type that may be named in the older way; null when it is no type. */
export function entityLetter(name: string): EntityLetter | null {
  return isEntityLetter(name) ? name : (OLDER_NAMES.get(name) ?? null);
}

/**
 * The check number of the first seven fields, joined or with dashes: 98 - (N mod 97), N being the fields with every
 * letter replaced by 10 to 35 (ISO 7064 MOD 97-10 with the checks' places left out).
 */
export function checkNumber(fields: string): number {
  let remainder = 0;
  for (const character of fields.replaceAll('-', '')) {
    const value = Number.parseInt(character, 36);
    remainder = (remainder * (value > 9 ? 100 : 10) + value) % 97;
  }
  return 98 - remainder;
}

/** Writes a ChittyID, check number included. */
export function formatChittyId(parts: ChittyIdParts): string {
  const { version, region, jurisdiction, sequence, type, yearMonth, trustLevel } = parts;
  const fields = [version, region, jurisdiction, sequence, type, yearMonth, trustLevel].join('-');
  return `${fields}-${checkNumber(fields)}`;
}

/** Takes a ChittyID apart. @returns null when it is not well-formed; its check number is told apart from the right one */
export function parseChittyId(text: string): { parts: ChittyIdParts; check: string; isCheckRight: boolean } | null {
  const match = CHITTY_ID.exec(text);
  if (!match) return null;
  const [, version = '', region = '', jurisdiction = '', sequence = '', type = '', yearMonth = '', trust, check = ''] =
    match;
  if (!isEntityLetter(type)) return null;
  const parts = { version, region, jurisdiction, sequence, type, yearMonth, trustLevel: Number(trust) };
  return { parts, check, isCheckRight: formatChittyId(parts) === text };
}

/** Tells whether a text is a well-formed ChittyID with the right check number, minted or not. */
export function isChittyId(text: string): boolean {
  return parseChittyId(text)?.isCheckRight === true;
}

/** The decentralized identifier of a ChittyID. */
export function didOf(id: string): string {
  return `did:chitty:${id}`;
}
