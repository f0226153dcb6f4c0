import { z } from 'zod';
import type { Upcasters } from './upcast.ts';

/** The prefix of an installation's id. */
export const INSTALLATION_PREFIX = 'ins';

/** Repositories that one event names at most: more than fit in a delivery of GitHub's that is taken. */
const REPOSITORIES_MAX = 20_000;

/** An id that GitHub gave out: these are numbers. */
const githubId = z.int().min(1);

/** Who installed the app: a user, an organization or an enterprise. */
export const installationAccount = z.strictObject({
  id: githubId,
  /** The name in GitHub's addresses. */
  login: z.string().min(1).max(255),
  type: z.string().min(1).max(100),
});

/** A repository that the app may work on, by its number, which stays when it is renamed. */
export const installationRepository = z.strictObject({ id: githubId, fullName: z.string().min(1).max(255) });

const repositories = z.array(installationRepository).max(REPOSITORIES_MAX);

/** What the app may do, such as `{"issues": "write"}`. */
export const installationPermissions = z.record(z.string().max(100), z.string().max(100));

/** The webhook events that the app is sent. */
export const installationSubscriptions = z.array(z.string().max(100)).max(500);

/** Whether the app may work on all repositories of the account, or on those that were picked. */
export const repositorySelection = z.enum(['all', 'selected']);

/** GitHub's own `updated_at` of the installation when it told of this: by it, what comes late is known to be old. */
const asOf = z.iso.datetime();

/** The payload schemas of an installation's events. */
export const installationEvents = {
  /** The GitHub App was installed, or the first was heard of an installation that is there. */
  installation_created: z.strictObject({
    githubId,
    appId: githubId,
    account: installationAccount,
    repositorySelection,
    permissions: installationPermissions,
    subscriptions: installationSubscriptions,
    /** Null when what was heard first did not list them. */
    repositories: repositories.nullable(),
    asOf,
  }),
  /** Somebody accepted other permissions. */
  installation_permissions_changed: z.strictObject({
    permissions: installationPermissions,
    subscriptions: installationSubscriptions,
    asOf,
  }),
  installation_repositories_changed: z.strictObject({
    repositorySelection,
    added: repositories,
    removed: repositories,
    asOf,
  }),
  /** What it could work on at the beginning, when the first that was heard of it did not say. */
  installation_repositories_listed: z.strictObject({ repositories, asOf }),
  installation_suspended: z.strictObject({ asOf }),
  installation_unsuspended: z.strictObject({ asOf }),
  /** The app was uninstalled. GitHub never uses an installation's number again. */
  installation_deleted: z.strictObject({ asOf }),
  /** The ChittyID authority gave it an id. */
  installation_identified: z.strictObject({ chittyId: z.string().min(1).max(500), did: z.string().min(1).max(500) }),
  /** It could not be asked for one, for the `attempt`th time in a row; it is asked again at `retryAt`. */
  installation_identification_failed: z.strictObject({
    reason: z.string().max(500),
    attempt: z.int().min(1),
    retryAt: z.iso.datetime(),
  }),
};

/** What can happen to an installation. */
export type InstallationEvent = {
  [Type in keyof typeof installationEvents]: {
    readonly type: Type;
    readonly data: Readonly<z.infer<(typeof installationEvents)[Type]>>;
  };
}[keyof typeof installationEvents];

/** No event of an installation has an older form yet. */
export const installationUpcasters: Upcasters = {};
