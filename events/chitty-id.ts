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

/** A text of the form of a ChittyID, taken apart. */
export interface ParsedChittyId {
  readonly parts: ChittyIdParts;
  /** The check number as it is written: one or two digits. */
  readonly check: string;
  /** Whether it is the number that the parts give. */
  readonly isCheckRight: boolean;
  /** Whether the authority could have written it: in a month that there is, its check number with no zero before it. */
  readonly isAsMinted: boolean;
}

const CHITTY_ID = /^(\d{2})-([A-Z0-9])-([A-Z]{3})-(\d{4})-([PLTEA])-(\d{4})-([0-5])-(\d{1,2})$/;
const MONTH = /^\d{2}(?:0[1-9]|1[0-2])$/;

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

/** Writes a ChittyID, check number included, as the authority does. */
export function formatChittyId(parts: ChittyIdParts): string {
  const { version, region, jurisdiction, sequence, type, yearMonth, trustLevel } = parts;
  const fields = [version, region, jurisdiction, sequence, type, yearMonth, trustLevel].join('-');
  return `${fields}-${checkNumber(fields)}`;
}

/**
 * Takes a ChittyID apart: `VV-G-LLL-SSSS-T-YYMM-C-XX`, such as `03-1-USA-5537-P-2602-0-38`, `03-1-USA-7165-T-2602-0-13`
 * and `03-1-USA-1399-T-2603-0-70`, which are in use.
 *
 * @returns null when it has another form
 */
export function parseChittyId(text: string): ParsedChittyId | null {
  const match = CHITTY_ID.exec(text);
  if (!match) return null;
  const [, version = '', region = '', jurisdiction = '', sequence = '', type = '', yearMonth = '', trust, check = ''] =
    match;
  if (!isEntityLetter(type)) return null;
  const parts = { version, region, jurisdiction, sequence, type, yearMonth, trustLevel: Number(trust) };
  const isCheckRight = Number(check) === checkNumber(text.slice(0, text.lastIndexOf('-')));
  const isAsMinted = MONTH.test(yearMonth) && String(Number(check)) === check;
  return { parts, check, isCheckRight, isAsMinted };
}

/**
 * Tells whether a text has the form of a ChittyID and the check number that its other fields give. Only the authority
 * knows whether it was minted, and it alone goes by `isAsMinted`: whoever reads an id takes it as it was given.
 */
export function isChittyId(text: string): boolean {
  return parseChittyId(text)?.isCheckRight === true;
}

/** The decentralized identifier of a ChittyID. */
export function didOf(id: string): string {
  return `did:chitty:${id}`;
}
