import { isActorId } from '../events/actor-id.ts';
import type { ContextChange, ContextEvent } from '../events/context.ts';
import type { JsonObject } from '../events/json.ts';
import { collaborationOf } from './collaboration.ts';
import type { ContextCommand, ContextState } from './context.ts';
import { type PrivacyRules, safekeepingOf } from './privacy.ts';
import { SealedPlaces } from './sealed-places.ts';
import type { PersonalWords } from './words.ts';

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

  seal(event, state, sealer, at) {
    const rules = event.type === 'context_created' ? (event.data.privacy ?? []) : safekeepingOf(state).rules;
    const places = new SealedPlaces(rules, sealer);
    const changed = (change: ContextChange, sealed: (patch: JsonObject) => JsonObject): ContextChange =>
      change.metadata == null ? change : { ...change, metadata: sealed(change.metadata) };
    switch (event.type) {
      case 'context_created':
        return { ...event.data, metadata: places.written(event.data.metadata) };
      case 'context_updated':
        return changed(event.data, (patch) => places.merged(patch, state?.metadata));
      case 'metadata_sealed':
        return { metadata: places.merged(event.data.metadata, state?.metadata) };
      case 'proposal_applied': {
        const { proposal, change } = event.data;
        const proposed = proposedIn(state, proposal);
        return { ...event.data, change: changed(change, (patch) => places.merged(patch, state?.metadata, proposed)) };
      }
      // What is proposed waits as it was written: what it leads to depends on what else happens first.
      case 'proposal_made':
        return { ...event.data, change: changed(event.data.change, (patch) => places.written(patch)) };
      case 'proposal_rebased':
      case 'proposal_sealed': {
        const { proposal, change } = event.data;
        const proposed = proposedIn(state, proposal);
        return { ...event.data, change: changed(change, (patch) => places.written(patch, proposed)) };
      }
      case 'context_reverted': {
        const { metadata, to } = event.data;
        if (!metadata) return event.data;
        return { ...event.data, metadata: { ...metadata, set: places.written(metadata.set, at(to)?.metadata) } };
      }
      default:
        return event.data;
    }
  },
};

/** What a proposal would do to the metadata, as it is stored. */
function proposedIn(state: ContextState, id: string): JsonObject | undefined {
  return collaborationOf(state).proposals.find((each) => each.id === id)?.change.metadata ?? undefined;
}

function subjectsIn(rules: PrivacyRules): readonly string[] {
  return rules.map(({ subject }) => subject).filter(isActorId);
}
