import type { InstallationEvent } from '../events/installation.ts';
import { jsonEquals } from '../events/merge-patch.ts';
import type { Decider } from './decider.ts';

/** Repositories that an installation's state lists; the events name all. It must fit in a row with the rest. */
const LISTED_MAX = 5_000;

type Data<Type extends InstallationEvent['type']> = Extract<InstallationEvent, { type: Type }>['data'];

type Repository = Data<'installation_repositories_changed'>['added'][number];

/** GitHub's time of something. */
type Dated = { readonly asOf: string };

/** An installation of the GitHub App. The JSON that administrators see. */
export type Installation = {
  readonly id: string;
  /** The number that GitHub knows it by. */
  readonly githubId: number;
  readonly appId: number;
  /** The id that the ChittyID authority gave it, once it has. */
  readonly chittyId: string | null;
  readonly account: Data<'installation_created'>['account'];
  readonly status: 'active' | 'suspended' | 'deleted';
  readonly repositorySelection: 'all' | 'selected';
  /** By their numbers, each with GitHub's time of when it was added. */
  readonly repositories: readonly (Repository & Dated)[];
  /** Those that were taken away: what tells of them late, and is older, must not bring them back. */
  readonly removedRepositories: readonly (Repository & Dated)[];
  /** Whether it was heard what they were at the beginning. Without it these may not be all. */
  readonly isListed: boolean;
  /** Whether there were more than are kept. */
  readonly isTruncated: boolean;
  readonly permissions: Data<'installation_created'>['permissions'];
  readonly subscriptions: readonly string[];
  /** Why it has no ChittyID yet, when that was tried. */
  readonly identification: Data<'installation_identification_failed'> | null;
  /** GitHub's times of what is known: what is older than that is not taken any more. */
  readonly asOf: { readonly status: string; readonly permissions: string; readonly repositorySelection: string };
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
};

/** Null until the first was heard of it. */
export type InstallationState = Installation | null;

/** What GitHub tells of an installation: what happened, and the whole installation as it was then. */
export type InstallationNotice = {
  readonly happened:
    | { readonly what: 'created' }
    | { readonly what: 'permissionsAccepted' }
    | { readonly what: 'suspended' }
    | { readonly what: 'unsuspended' }
    | { readonly what: 'deleted' }
    | RepositoriesChanged;
  readonly installation: Data<'installation_created'>;
  readonly isSuspended: boolean;
};

type RepositoriesChanged = {
  readonly what: 'repositoriesChanged';
  readonly added: readonly Repository[];
  readonly removed: readonly Repository[];
};

/** How the attempt to get a ChittyID went. */
type IdentificationEvent = Extract<
  InstallationEvent,
  { type: 'installation_identified' | 'installation_identification_failed' }
>;

/** What can be asked of an installation. */
export type InstallationCommand =
  | { readonly type: 'receive'; readonly notice: InstallationNotice }
  | { readonly type: 'recordIdentification'; readonly event: IdentificationEvent };

/**
 * Follows what GitHub tells, which comes at least once and in any order. The first notice makes the installation,
 * whatever it is about; one that is older than what is known of the same thing changes nothing; and nothing comes after
 * the deletion. Times are whole seconds: of two notices of the same second, the one that arrives last counts.
 */
export const installationDecider: Decider<InstallationState, InstallationCommand, InstallationEvent> = {
  initialState: null,

  decide(command, state) {
    if (command.type === 'recordIdentification') {
      return state === null || state.chittyId !== null ? [] : [command.event];
    }
    return state === null ? begin(command.notice) : follow(command.notice, state);
  },

  evolve(state, event) {
    if (event.type === 'installation_created') {
      const { repositories, asOf, ...facts } = event.data;
      return {
        id: event.stream.slice(event.stream.indexOf('/') + 1),
        ...facts,
        chittyId: null,
        status: 'active',
        asOf: { status: asOf, permissions: asOf, repositorySelection: asOf },
        isListed: repositories !== null,
        ...listed(dated(repositories ?? [], asOf), [], false),
        identification: null,
        version: event.version,
        createdAt: event.time,
        updatedAt: event.time,
      };
    }
    if (state === null) throw new Error(`${event.type} at the start of ${event.stream}`);
    const moved = { ...state, version: event.version, updatedAt: event.time };
    switch (event.type) {
      case 'installation_permissions_changed': {
        const { asOf: permissions, ...data } = event.data;
        return { ...moved, ...data, asOf: { ...state.asOf, permissions } };
      }
      case 'installation_repositories_changed': {
        const { added, removed, repositorySelection, asOf } = event.data;
        const changed = new Set([...added, ...removed].map(({ id }) => id));
        const others = (items: Installation['repositories']) => items.filter(({ id }) => !changed.has(id));
        return {
          ...moved,
          repositorySelection,
          asOf: asOf > state.asOf.repositorySelection ? { ...state.asOf, repositorySelection: asOf } : state.asOf,
          ...listed(
            [...others(state.repositories), ...dated(added, asOf)],
            [...others(state.removedRepositories), ...dated(removed, asOf)],
            state.isTruncated,
          ),
        };
      }
      case 'installation_repositories_listed': {
        const here = [...state.repositories, ...dated(event.data.repositories, event.data.asOf)];
        return { ...moved, isListed: true, ...listed(here, state.removedRepositories, state.isTruncated) };
      }
      case 'installation_suspended':
        return { ...moved, status: 'suspended', asOf: { ...state.asOf, status: event.data.asOf } };
      case 'installation_unsuspended':
        return { ...moved, status: 'active', asOf: { ...state.asOf, status: event.data.asOf } };
      case 'installation_deleted':
        return { ...moved, status: 'deleted', asOf: { ...state.asOf, status: event.data.asOf } };
      case 'installation_identified':
        return { ...moved, chittyId: event.data.chittyId, identification: null };
      case 'installation_identification_failed':
        return { ...moved, identification: event.data };
      default:
        return event satisfies never;
    }
  },
};

/** The events of an installation that was not known: it is there, and what has just happened to it. */
function begin({ happened, installation, isSuspended }: InstallationNotice): readonly InstallationEvent[] {
  const { asOf, repositorySelection } = installation;
  const events: InstallationEvent[] = [{ type: 'installation_created', data: installation }];
  if (isSuspended) events.push({ type: 'installation_suspended', data: { asOf } });
  if (happened.what === 'deleted') events.push({ type: 'installation_deleted', data: { asOf } });
  if (happened.what === 'repositoriesChanged') {
    const [added, removed] = [[...happened.added], [...happened.removed]];
    events.push({ type: 'installation_repositories_changed', data: { repositorySelection, added, removed, asOf } });
  }
  return events;
}

/** What a notice changes of an installation that is known. */
function follow({ happened, installation }: InstallationNotice, state: Installation): readonly InstallationEvent[] {
  const { asOf, permissions, subscriptions } = installation;
  if (state.status === 'deleted') return [];
  switch (happened.what) {
    case 'created':
      return listRepositories(installation, state);
    case 'deleted':
      // It is final, so that it may come as late as it likes.
      return [{ type: 'installation_deleted', data: { asOf } }];
    case 'repositoriesChanged':
      return changeRepositories(happened, installation, state);
    case 'permissionsAccepted': {
      const isKnown = jsonEquals(permissions, state.permissions) && jsonEquals(subscriptions, state.subscriptions);
      if (asOf < state.asOf.permissions || (isKnown && asOf === state.asOf.permissions)) return [];
      return [{ type: 'installation_permissions_changed', data: { permissions, subscriptions, asOf } }];
    }
    case 'suspended':
    case 'unsuspended': {
      // A newer one is recorded though the status stays as it is: an older one may still be on its way.
      const isKnown = (happened.what === 'suspended') === (state.status === 'suspended');
      if (asOf < state.asOf.status || (isKnown && asOf === state.asOf.status)) return [];
      return [{ type: `installation_${happened.what}`, data: { asOf } }];
    }
    default:
      return happened satisfies never;
  }
}

/** The beginning, when it comes after something else and so tells what was not known. */
function listRepositories(
  { repositories, asOf }: Data<'installation_created'>,
  state: Installation,
): readonly InstallationEvent[] {
  if (repositories === null || state.isListed) return [];
  const known = knownTimes(state);
  const unknown = repositories.filter(({ id }) => !known.has(id));
  return [{ type: 'installation_repositories_listed', data: { repositories: unknown, asOf } }];
}

/** Each repository by itself: a notice that is old to one of them may be the latest of another. */
function changeRepositories(
  { added, removed }: RepositoriesChanged,
  { repositorySelection, asOf }: Data<'installation_created'>,
  state: Installation,
): readonly InstallationEvent[] {
  const known = knownTimes(state);
  const names = new Map(state.repositories.map(({ id, fullName }) => [id, fullName]));
  // One that is there already is added anew: an older removal may still be on its way.
  const isNew = (id: number, isKnown: boolean) => asOf > (known.get(id) ?? '') || (asOf === known.get(id) && !isKnown);
  const isLatest = asOf > state.asOf.repositorySelection;
  const selection = asOf < state.asOf.repositorySelection ? state.repositorySelection : repositorySelection;
  const data = {
    repositorySelection: selection,
    added: added.filter(({ id, fullName }) => isNew(id, names.get(id) === fullName)),
    removed: removed.filter(({ id }) => isNew(id, !names.has(id))),
    asOf,
  };
  const isOther = selection !== state.repositorySelection;
  const changes = data.added.length > 0 || data.removed.length > 0 || isOther || isLatest;
  return changes ? [{ type: 'installation_repositories_changed', data }] : [];
}

/** GitHub's time of the latest that is known of each repository. */
function knownTimes(state: Installation): ReadonlyMap<number, string> {
  return new Map([...state.removedRepositories, ...state.repositories].map(({ id, asOf }) => [id, asOf]));
}

function dated(repositories: readonly Repository[], asOf: string): (Repository & Dated)[] {
  return repositories.map((repository) => ({ ...repository, asOf }));
}

function listed(here: Installation['repositories'], gone: Installation['repositories'], wasTruncated: boolean) {
  const byNumber = (items: Installation['repositories']) => [...items].sort((a, b) => a.id - b.id);
  // Of those that were taken away the latest matter: the others are further from whatever may still be on its way.
  const latest = [...gone].sort((a, b) => (a.asOf < b.asOf ? 1 : -1)).slice(0, LISTED_MAX);
  return {
    repositories: byNumber(here).slice(0, LISTED_MAX),
    removedRepositories: byNumber(latest),
    isTruncated: wasTruncated || here.length > LISTED_MAX,
  };
}
