import { isActorId } from '../events/actor-id.ts';
import type { ContextChange, ContextEvent } from '../events/context.ts';
import { isJsonObject, type Json, type JsonObject } from '../events/json.ts';
import { applyMergePatch } from '../events/merge-patch.ts';
import type { ContextCommand, ContextState } from './context.ts';
import { memberAt, type PrivacyRules, placeOf, safekeepingOf } from './privacy.ts';
import type { PersonalWords, Seal } from './words.ts';

/** Whose words a context holds: what people say in notes and about proposals, and what its rules say of the metadata. */
export const contextWords: PersonalWords<ContextState, ContextCommand, ContextEvent> = {
  areInSinks: false,

  subjectsOf(command, state, by) {
    switch (command.type) {
      case 'addNote':
      case 'comment':
      case 'reject':
      case 'placeHold':
        return [by.subject];
      case 'propose':
        return [by.subject, ...subjectsIn(safekeepingOf(state).rules)];
      case 'create':
        return subjectsIn(command.data.privacy ?? []);
      // Nobody is made the subject of anything who cannot be told so.
      case 'setPrivacyRules':
        return subjectsIn(command.rules);
      case 'update':
      case 'revert':
      case 'approve':
      case 'rebase':
        return subjectsIn(safekeepingOf(state).rules);
      default:
        return [];
    }
  },

  seal(event, state, seal) {
    const rules = event.type === 'context_created' ? (event.data.privacy ?? []) : safekeepingOf(state).rules;
    if (rules.length === 0) return event.data;
    switch (event.type) {
      case 'context_created':
        return { ...event.data, metadata: sealedIn(event.data.metadata, rules, seal) };
      case 'context_updated':
        return sealedChange(event.data, state?.metadata ?? {}, rules, seal);
      case 'proposal_applied':
        return { ...event.data, change: sealedChange(event.data.change, state?.metadata ?? {}, rules, seal) };
      // What is proposed waits as it was written: what it leads to depends on what else happens first.
      case 'proposal_made':
        return { ...event.data, change: sealedProposal(event.data.change, rules, seal) };
      case 'proposal_rebased':
        return { ...event.data, change: sealedProposal(event.data.change, rules, seal) };
      case 'context_reverted': {
        const { metadata } = event.data;
        if (!metadata) return event.data;
        return { ...event.data, metadata: { ...metadata, set: sealedIn(metadata.set, rules, seal) } };
      }
      default:
        return event.data;
    }
  },
};

function subjectsIn(rules: PrivacyRules): readonly string[] {
  return rules.map(({ subject }) => subject).filter(isActorId);
}

/** Metadata whose values are all there, with those sealed that a rule names. */
function sealedIn(metadata: JsonObject, rules: PrivacyRules, seal: Seal): JsonObject {
  return rules.reduce((sealed, rule) => {
    const value = memberAt(sealed, placeOf(rule));
    return value === undefined ? sealed : replaced(sealed, placeOf(rule), seal(rule.subject, value));
  }, metadata);
}

function sealedProposal(change: ContextChange, rules: PrivacyRules, seal: Seal): ContextChange {
  return change.metadata == null ? change : { ...change, metadata: sealedIn(change.metadata, rules, seal) };
}

/**
 * A change with the values sealed that a rule names. A sealed value is one whole, which cannot be merged into: so the
 * patch gets the whole value that it leads to.
 */
function sealedChange(change: ContextChange, metadata: JsonObject, rules: PrivacyRules, seal: Seal): ContextChange {
  const { metadata: patch } = change;
  if (patch == null) return change;
  const after = applyMergePatch(metadata, patch);
  const sealed = rules.reduce((result, rule) => {
    const place = placeOf(rule);
    if (memberAt(patch, place) === undefined) return result;
    const value = memberAt(after, place);
    return value === undefined ? result : replaced(result, place, seal(rule.subject, value));
  }, patch);
  return { ...change, metadata: sealed };
}

/** An object with another value at a place that is in it. */
function replaced(object: JsonObject, [name = '', ...rest]: readonly string[], value: Json): JsonObject {
  const entries = Object.entries(object).map(([key, member]): [string, Json] => {
    if (key !== name) return [key, member];
    return [key, rest.length === 0 || !isJsonObject(member) ? value : replaced(member, rest, value)];
  });
  return Object.fromEntries(entries);
}
