import type { Context } from '../../actors/context.ts';
import { CONTEXT_PREFIX } from '../../events/context.ts';
import { derivedId } from '../../events/id.ts';

/** When the first context was made; one follows every half minute, so a million of them are a year. */
const START_MS = Date.UTC(2025, 0, 1);
const INTERVAL_MS = 30_000;
/** Made-up words beside the common ones: about as many as a large organisation's names, products and places. */
const RARE_WORDS = 30_000;
const OWNERS = 5_000;
/** Actors that contexts are shared with beside, as far as two of them each. */
const READERS = 5_000;
/** One context in so many was changed within the last hour, and one in so many is deleted. */
const CHANGED_LATELY = 20_000;
const DELETED = 50;

const COMMON = `project review planning budget team customer report quarterly design launch marketing migration security
  infrastructure release product research support weekly meeting notes roadmap hiring onboarding compliance invoice
  contract legal finance analysis platform integration testing deployment incident response data pipeline dashboard
  mobile website search payment billing account audit policy training documentation strategy partner vendor sales
  forecast inventory logistics the of for and with new ai q3 qa hr it`.split(/\s+/);
const SYSTEMS = `github linear notion slack jira salesforce stripe figma confluence zendesk hubspot datadog sentry asana
  gitlab snowflake airtable intercom quickbooks docusign`.split(/\s+/);
const CJK = ['東京', '計画', '会議', '予算', '설계', '北京'];
const SYLLABLES = `ba be bi bo bu da de di do du fa fe fi ka ke ki ko ku la le li lo lu ma me mi mo mu na ne ni no nu
  pa pe pi po ra re ri ro ru sa se si so su ta te ti to tu va ve vi vo za ze zi zo sha che tri pla gro ster ling ton
  berg wick ford`.split(/\s+/);

/** A generator of numbers in [0, 1) (mulberry32): the same seed gives the same numbers on every machine. */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function pick(items: readonly string[], next: () => number): string {
  return items[Math.floor(next() * items.length)] ?? '';
}

/** Picks as people use words: the first ones far more often than the last (about Zipf's law). */
function pickOften(items: readonly string[], next: () => number): string {
  return items[Math.floor(items.length * next() ** 3)] ?? '';
}

/** The made-up word of a number. */
export function rareWord(n: number): string {
  const next = random(n * 7919 + 17);
  return Array.from({ length: 2 + Math.floor(next() * 3) }, () => pick(SYLLABLES, next)).join('');
}

function word(next: () => number): string {
  const kind = next();
  if (kind < 0.6) return pickOften(COMMON, next);
  return kind < 0.98 ? rareWord(Math.floor(next() ** 2 * RARE_WORDS)) : pick(CJK, next);
}

function words(count: number, next: () => number): string {
  return Array.from({ length: count }, () => word(next)).join(' ');
}

/** The owner of a number. */
export function owner(n: number): string {
  return derivedId('act', `owner ${n}`);
}

/** The actor of a number with whom contexts are shared. */
export function reader(n: number): string {
  return derivedId('act', `reader ${n % READERS}`);
}

/** The nth context: names of 2 to 5 words, common and rare ones mixed, and descriptions of 5 to 24. */
export function corpusContext(n: number): Context {
  const next = random(n + 1);
  const name = words(2 + Math.floor(next() * 4), next);
  const createdMs = START_MS + n * INTERVAL_MS;
  const isChangedLately = Math.floor(next() * CHANGED_LATELY) === 0;
  const ownedBy = owner(Math.floor(next() ** 2 * OWNERS));
  const updatedMs = isChangedLately ? LATELY_MS : createdMs + Math.floor(next() * INTERVAL_MS * 1000);
  return {
    id: derivedId(CONTEXT_PREFIX, `corpus ${n}`),
    chittyId: null,
    name: name.charAt(0).toUpperCase() + name.slice(1),
    description: words(5 + Math.floor(next() * 20), next),
    owner: ownedBy,
    members: [
      { actor: ownedBy, role: 'owner', since: new Date(createdMs).toISOString() },
      { actor: reader(n), role: 'editor', since: new Date(createdMs).toISOString() },
      { actor: reader(n * 31 + 7), role: 'viewer', since: new Date(createdMs).toISOString() },
    ],
    systems: [...new Set(Array.from({ length: Math.floor(next() * 4) }, () => pickOften(SYSTEMS, next)))],
    tools: [...new Set(Array.from({ length: Math.floor(next() * 3) }, () => pickOften(SYSTEMS, next)))],
    metadata: { priority: Math.floor(next() * 5) },
    status: Math.floor(next() * DELETED) === 0 ? 'deleted' : 'active',
    version: 1 + Math.floor(next() * 20),
    createdAt: new Date(createdMs).toISOString(),
    updatedAt: new Date(updatedMs).toISOString(),
    provisioning: { status: 'pending', steps: {} },
  };
}

/** After every other change in the corpus. */
export const LATELY_MS: number = Date.UTC(2027, 0, 1);
