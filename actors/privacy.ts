import type { z } from 'zod';
import type { ContextEvent } from '../events/context.ts';
import type { privacyRules, retention } from '../events/context-privacy.ts';
import { isJsonObject, type Json, type JsonObject } from '../events/json.ts';
import { parsePointer } from '../events/json-pointer.ts';
import { applyMergePatch, jsonEquals } from '../events/merge-patch.ts';
import { type ERASURE_REASONS, isUnreadable } from '../events/personal.ts';
import { collaborationOf, type KeptContext, type Voice, voiceOf } from './collaboration.ts';
import type { Recorded, Refusal } from './decider.ts';
import { SYSTEM_ACTOR } from './system-actor.ts';

/** Erasures that a context tells of; the older ones are in the history. */
const ERASED_MAX = 100;

const DAY_MS = 86_400_000;

/** What of the metadata is whose words. */
export type PrivacyRules = Readonly<z.infer<typeof privacyRules>>;

/** How long words are kept. */
type Retention = Readonly<z.infer<typeof retention>>;

type ErasureReason = (typeof ERASURE_REASONS)[number];

/** Somebody whose words were erased. */
type Erased = { readonly subject: string; readonly at: string; readonly reason: ErasureReason };

/** How people's words in a context are kept. */
export type Safekeeping = {
  readonly rules: PrivacyRules;
  /** While it stands nothing is erased. */
  readonly hold: { readonly reason: string; readonly placedBy: Voice } | null;
  readonly retention: Retention | null;
  /** When somebody last did something here; only while a retention counts from there. */
  readonly activeAt: string | null;
  /** The newest ones, oldest first. */
  readonly erased: readonly Erased[];
};

/** What can be asked about people's words. */
export type PrivacyCommand =
  | { readonly type: 'setPrivacyRules'; readonly rules: PrivacyRules }
  | { readonly type: 'placeHold'; readonly reason: string }
  | { readonly type: 'liftHold' }
  | { readonly type: 'setRetention'; readonly retention: Retention }
  | { readonly type: 'endRetention' }
  | {
      readonly type: 'eraseSubject';
      readonly subject: string;
      readonly reason: Exclude<ErasureReason, 'retention'>;
      /** How the key for their words stands; the object that has the keys says so. */
      readonly standing?: 'kept' | 'gone' | 'none';
    }
  /** The time of all words is up. @property subjects whose words there are */
  | { readonly type: 'applyRetention'; readonly subjects: readonly string[] };

/** The events of privacy. */
export type PrivacyEvent = Extract<
  ContextEvent,
  { type: 'privacy_rules_set' | `legal_hold_${string}` | `retention_${string}` | 'subject_erased' }
>;

const NOTHING: Safekeeping = { rules: [], hold: null, retention: null, activeAt: null, erased: [] };

/** How people's words in a context are kept. */
export function safekeepingOf(state: KeptContext | null): Safekeeping {
  return state?.safekeeping ?? NOTHING;
}

/** The context with these rules. */
export function withRules(state: KeptContext, rules: PrivacyRules): KeptContext {
  return withSafekeeping(state, { rules });
}

function withSafekeeping(state: KeptContext, part: Partial<Safekeeping>): KeptContext {
  return { ...state, safekeeping: { ...safekeepingOf(state), ...part } };
}

/** The context after somebody did something, when it matters when that was. */
export function withActivity(state: KeptContext, { actor, time }: Recorded<ContextEvent>): KeptContext {
  const isCounting = state.safekeeping?.retention != null && actor !== SYSTEM_ACTOR;
  return isCounting ? withSafekeeping(state, { activeAt: time }) : state;
}

/**
 * When the time of all words in a context is up, in milliseconds since 1970; null when it is not known yet, or does not
 * count because of a legal hold.
 */
function retentionEnd(state: KeptContext): number | null {
  const { retention: rule, hold, activeAt } = safekeepingOf(state);
  if (rule === null || hold !== null) return null;
  if (rule.after === 'deletion' && state.status !== 'deleted') return null;
  const from = rule.after === 'deletion' ? state.updatedAt : (activeAt ?? state.updatedAt);
  return Date.parse(from) + rule.days * DAY_MS;
}

/** What a context does by itself: erase all words when their time is up. @param subjects whose words it holds */
export function retentionChore(
  state: KeptContext | null,
  subjects: readonly string[],
): { readonly at: number; readonly command: PrivacyCommand } | null {
  const end = state === null || subjects.length === 0 ? null : retentionEnd(state);
  return end === null ? null : { at: end, command: { type: 'applyRetention', subjects } };
}

/** Decides about people's words. That the caller may ask for it was decided before. They count in deleted contexts as well. */
export function decidePrivacy(
  command: PrivacyCommand,
  state: KeptContext,
  now: number,
): readonly ContextEvent[] | Refusal {
  const { hold, retention: rule } = safekeepingOf(state);
  switch (command.type) {
    case 'setPrivacyRules':
      return setRules(command.rules, state);
    case 'placeHold':
      if (hold?.reason === command.reason) return [];
      return [{ type: 'legal_hold_placed', data: { reason: command.reason } }];
    case 'liftHold':
      if (hold === null) return { refused: 'not-found', detail: 'No legal hold stands on this context.' };
      return [{ type: 'legal_hold_lifted', data: {} }];
    case 'setRetention':
      if (rule !== null && jsonEquals(rule, command.retention)) return [];
      return [{ type: 'retention_set', data: command.retention }];
    case 'endRetention':
      if (rule === null) return { refused: 'not-found', detail: 'No retention is set for this context.' };
      return [{ type: 'retention_ended', data: {} }];
    case 'eraseSubject':
      return erase(command, state);
    case 'applyRetention': {
      const end = retentionEnd(state);
      if (end === null || end > now) return [];
      return command.subjects.map((subject) => ({ type: 'subject_erased', data: { subject, reason: 'retention' } }));
    }
    default:
      return command satisfies never;
  }
}

/**
 * Sets the rules, and writes again what stands under new ones, so that it is sealed from now on: in the metadata, also
 * while the context is deleted, and in open proposals. What no rule names any more stays sealed as it is.
 */
function setRules(wanted: PrivacyRules, state: KeptContext): readonly ContextEvent[] {
  const { rules } = safekeepingOf(state);
  if (jsonEquals(rules, wanted)) return [];
  const places = wanted.filter((rule) => !rules.some((each) => jsonEquals(each, rule))).map(placeOf);
  const metadata = places.reduce<JsonObject>((patch, place) => {
    const value = memberAt(state.metadata, place);
    return value === undefined || isUnreadable(value) ? patch : applyMergePatch(patch, nested(place, value));
  }, {});
  const proposals = collaborationOf(state).proposals.filter(({ change }) =>
    places.some((place) => memberAt(change.metadata ?? {}, place) !== undefined),
  );
  return [
    { type: 'privacy_rules_set', data: { rules: [...wanted] } },
    ...proposals.map(({ id, change }): ContextEvent => ({ type: 'proposal_sealed', data: { proposal: id, change } })),
    ...(Object.keys(metadata).length > 0 ? [{ type: 'metadata_sealed', data: { metadata } } as const] : []),
  ];
}

/** Where in the metadata a rule's value is, by the names of members. */
export function placeOf({ pointer }: PrivacyRules[number]): readonly string[] {
  return parsePointer(pointer)?.slice(1) ?? [];
}

/** What is at a place in an object, through objects alone: a merge patch reaches into no array. Undefined when there is nothing. */
function memberAt(object: JsonObject, place: readonly string[]): Json | undefined {
  let current: Json | undefined = object;
  for (const name of place) {
    current = isJsonObject(current) && Object.hasOwn(current, name) ? current[name] : undefined;
  }
  return current;
}

/** An object that has a value at a place and nothing else. */
function nested(place: readonly string[], value: Json): JsonObject {
  const [name = '', ...rest] = place;
  return { [name]: rest.length === 0 ? value : nested(rest, value) };
}

function erase(
  { subject, reason, standing = 'none' }: Extract<PrivacyCommand, { type: 'eraseSubject' }>,
  state: KeptContext,
): readonly PrivacyEvent[] | Refusal {
  const { hold, erased } = safekeepingOf(state);
  const isGone = erased.some((each) => each.subject === subject && each.reason !== 'retention');
  if (isGone || standing === 'gone') {
    return { refused: 'already-erased', detail: `The words of ${subject} are erased here already.` };
  }
  if (standing === 'none') {
    return { refused: 'not-found', detail: `There are no words of ${subject} here that could be erased.` };
  }
  if (hold !== null) {
    const detail = 'A legal hold stands on this context: nothing is erased until an administrator lifts it.';
    return { refused: 'legal-hold', detail };
  }
  return [{ type: 'subject_erased', data: { subject, reason } }];
}

/** The context after an event of privacy. */
export function evolvePrivacy(state: KeptContext, event: Recorded<PrivacyEvent>): KeptContext {
  switch (event.type) {
    case 'privacy_rules_set':
      return withRules(state, event.data.rules);
    case 'legal_hold_placed':
      return withSafekeeping(state, { hold: { reason: event.data.reason, placedBy: voiceOf(event) } });
    case 'legal_hold_lifted':
      return withSafekeeping(state, { hold: null });
    case 'retention_set':
      return withSafekeeping(state, { retention: event.data, activeAt: event.time });
    case 'retention_ended':
      return withSafekeeping(state, { retention: null, activeAt: null });
    case 'subject_erased': {
      const { subject, reason } = event.data;
      const others = safekeepingOf(state).erased.filter((each) => each.subject !== subject);
      return withSafekeeping(state, { erased: [...others, { subject, at: event.time, reason }].slice(-ERASED_MAX) });
    }
    default:
      return event satisfies never;
  }
}
