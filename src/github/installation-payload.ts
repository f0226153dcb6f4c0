import { z } from 'zod';
import type { InstallationNotice } from '../../actors/installation.ts';
import {
  installationAccount,
  installationPermissions,
  installationRepository,
  installationSubscriptions,
  repositorySelection,
} from '../../events/installation.ts';

/** What GitHub sends of an installation, as far as it is kept ("Webhook events and payloads", docs.github.com). */

/** GitHub gives times as seconds since 1970 in some payloads and as ISO 8601 in others. */
const time = z
  .union([z.int().min(0).max(253_402_300_799), z.iso.datetime({ offset: true })])
  .transform((value) => new Date(typeof value === 'number' ? value * 1000 : value).toISOString());

/** An enterprise has a slug where others have a login, and no type. */
const account = z
  .looseObject({ id: z.int(), login: z.string().optional(), slug: z.string().optional(), type: z.string().optional() })
  .transform(({ id, login, slug, type }) => ({ id, login: login ?? slug ?? '', type: type ?? 'Enterprise' }))
  .pipe(installationAccount);

const repositories = z
  .array(z.looseObject({ id: z.int(), full_name: z.string() }))
  .transform((items) => items.map(({ id, full_name }) => ({ id, fullName: full_name })))
  .pipe(z.array(installationRepository));

const installation = z.looseObject({
  id: z.int().min(1),
  app_id: z.int().min(1),
  account,
  repository_selection: repositorySelection,
  permissions: installationPermissions,
  events: installationSubscriptions,
  updated_at: time,
  suspended_at: time.nullish(),
});

/** What happened to the whole installation, by what GitHub calls it. */
const HAPPENED = {
  created: 'created',
  deleted: 'deleted',
  suspend: 'suspended',
  unsuspend: 'unsuspended',
  new_permissions_accepted: 'permissionsAccepted',
} as const;

/** The payload of an `installation` event. */
export const installationPayload = z
  .looseObject({
    action: z.enum(['created', 'deleted', 'suspend', 'unsuspend', 'new_permissions_accepted']),
    installation,
    repositories: repositories.optional(),
  })
  .transform((payload): InstallationNotice => {
    return {
      happened: { what: HAPPENED[payload.action] },
      isSuspended: isSuspended(payload.installation),
      installation: facts(payload.installation, payload.repositories ?? null),
    };
  });

/** The payload of an `installation_repositories` event. */
export const installationRepositoriesPayload = z
  .looseObject({
    action: z.enum(['added', 'removed']),
    installation,
    repository_selection: repositorySelection,
    repositories_added: repositories,
    repositories_removed: repositories,
  })
  .transform((payload): InstallationNotice => {
    const { repositories_added: added, repositories_removed: removed, repository_selection } = payload;
    return {
      happened: { what: 'repositoriesChanged', added, removed },
      isSuspended: isSuspended(payload.installation),
      installation: facts({ ...payload.installation, repository_selection }, null),
    };
  });

function isSuspended({ suspended_at }: z.infer<typeof installation>): boolean {
  return suspended_at !== null && suspended_at !== undefined;
}

function facts(
  { id, app_id, account, repository_selection, permissions, events, updated_at }: z.infer<typeof installation>,
  listed: InstallationNotice['installation']['repositories'],
): InstallationNotice['installation'] {
  return {
    githubId: id,
    appId: app_id,
    account,
    repositorySelection: repository_selection,
    permissions,
    subscriptions: events,
    repositories: listed,
    asOf: updated_at,
  };
}
