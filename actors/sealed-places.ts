import { isJsonObject, type Json, type JsonObject } from '../events/json.ts';
import { applyMergePatch, jsonEquals } from '../events/merge-patch.ts';
import { isUnreadable, readSealed } from '../events/personal.ts';
import { type PrivacyRules, placeOf } from './privacy.ts';
import type { Sealer } from './words.ts';

/** Parts that a sealed value is taken apart into at most: each is longer sealed than as it is. */
const PARTS_MAX = 500;

/** Some of the rules, by where in a value they lead to. */
type Rules = readonly { readonly place: readonly string[]; readonly subject: string }[];

/** What is written at a place. */
interface Writing {
  readonly value: Json;
  /** Whether it is merged into what is there (RFC 7396); otherwise it stands as it is. */
  readonly isMerged: boolean;
  /** What is stored there; undefined when there is nothing. */
  readonly present: Json | undefined;
  /** What is stored where the value comes from; undefined when it is new. */
  readonly source: Json | undefined;
}

/**
 * The metadata of an event with its words sealed: those at the places that rules name, and those that were sealed
 * before. What was once sealed in somebody's name stays so wherever it goes, also when no rule names it any more: an
 * event is for ever, and an erasure could not take back what one held in the clear.
 */
export class SealedPlaces {
  readonly #rules: Rules;
  readonly #sealer: Sealer;

  constructor(rules: PrivacyRules, sealer: Sealer) {
    this.#rules = rules.map((rule) => ({ place: placeOf(rule), subject: rule.subject }));
    this.#sealer = sealer;
  }

  /** Metadata, or a merge patch, that is written as it is. @param source as stored, where it comes from */
  written(metadata: JsonObject, source?: JsonObject): JsonObject {
    return this.#members(metadata, this.#rules, (name) => ({
      isMerged: false,
      present: undefined,
      source: memberOf(source, name),
    }));
  }

  /** A merge patch. @param present as stored, what it is merged into @param source as stored, where the patch comes from */
  merged(patch: JsonObject, present?: JsonObject, source?: JsonObject): JsonObject {
    return this.#members(patch, this.#rules, (name) => ({
      isMerged: true,
      present: memberOf(present, name),
      source: memberOf(source, name),
    }));
  }

  #members(object: JsonObject, rules: Rules, of: (name: string) => Omit<Writing, 'value'>): JsonObject {
    const entries = Object.entries(object).map(([name, value]): [string, Json] => [
      name,
      this.#at({ value, ...of(name) }, within(rules, name)),
    ]);
    return Object.fromEntries(entries);
  }

  #at({ value, isMerged, present, source }: Writing, rules: Rules): Json {
    if (value === null) return null;
    const here = rules.find(({ place }) => place.length === 0);
    const opened = present === undefined ? undefined : this.#sealer.open(present);
    const target = isJsonObject(opened) ? opened : {};
    const whole = isMerged && isJsonObject(value) ? applyMergePatch(target, value) : value;
    if (here) return this.#kept(whole, [source, present], here.subject) ?? this.#sealer.seal(here.subject, whole);
    const from = subjectOf(source);
    if (from !== null) return this.#kept(whole, [source]) ?? this.#parts(whole, from, rules);
    const before = subjectOf(present);
    // A sealed value is one whole, which nothing can be merged into.
    if (before !== null && isJsonObject(value) && isJsonObject(opened)) return this.#parts(whole, before, rules);
    if (!isJsonObject(value)) return value;
    return this.#members(value, rules, (name) => ({
      isMerged,
      present: memberOf(present, name),
      source: memberOf(source, name),
    }));
  }

  /**
   * The sealed text that can stand for a value: it opens to the same, and is this subject's when the value can be read.
   *
   * @param subject when left out, only a value that cannot be read is kept
   */
  #kept(value: Json, stored: readonly (Json | undefined)[], subject?: string): Json | null {
    for (const text of stored) {
      const owner = subjectOf(text);
      if (typeof text !== 'string' || owner === null || !jsonEquals(this.#sealer.open(text), value)) continue;
      if (isUnreadable(value) || owner === subject) return this.#sealer.keep(text);
    }
    return null;
  }

  /** What was sealed as one whole, taken apart as far as rules lead into it; the rest stays whose it was. */
  #parts(value: Json, subject: string, rules: Rules): Json {
    let parts = 0;
    const seal = (part: Json, whose: string) => {
      parts += 1;
      return this.#sealer.seal(whose, part);
    };
    const take = (part: Json, inside: Rules): Json => {
      const here = inside.find(({ place }) => place.length === 0);
      if (here) return seal(part, here.subject);
      if (!isJsonObject(part) || !inside.some(({ place }) => isIn(part, place))) return seal(part, subject);
      const entries = Object.entries(part).map(([name, member]): [string, Json] => [
        name,
        take(member, within(inside, name)),
      ]);
      return Object.fromEntries(entries);
    };
    const taken = take(value, rules);
    if (parts > PARTS_MAX) {
      const detail = `A value that is sealed as a whole would have to be taken apart into more than ${PARTS_MAX} parts.`;
      this.#sealer.refuse({ refused: 'limit-reached', detail });
    }
    return taken;
  }
}

/** The rules that lead to a member of a value or into it. */
function within(rules: Rules, name: string): Rules {
  return rules
    .filter(({ place }) => place[0] === name)
    .map(({ place, subject }) => ({ place: place.slice(1), subject }));
}

/** Whether there is something at a place in a value. */
function isIn(value: Json, [name, ...rest]: readonly string[]): boolean {
  if (name === undefined) return true;
  const member = memberOf(value, name);
  return member !== undefined && isIn(member, rest);
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Whose words a stored value is; null when it is not sealed. */
function subjectOf(stored: Json | undefined): string | null {
  return typeof stored === 'string' ? (readSealed(stored)?.subject ?? null) : null;
}
