import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isRefusal, recorded } from '../../actors/decider.ts';
import {
  type Installation,
  type InstallationNotice,
  type InstallationState,
  installationDecider,
} from '../../actors/installation.ts';
import type { InstallationEvent } from '../../events/installation.ts';
import { NO_PAST, specify } from '../support/given.ts';
import { ADMINISTRATOR } from '../support/principals.ts';
import { printedSeed } from '../support/seed.ts';

const STREAM = 'installation/ins_1';
const installation = specify(installationDecider, STREAM);

/** GitHub's time of the nth second. */
const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();
const repository = (id: number, fullName = `octo/${id}`) => ({ id, fullName });

function facts(second: number, fields: Partial<InstallationNotice['installation']> = {}) {
  return {
    githubId: 7,
    appId: 3,
    account: { id: 1, login: 'octo', type: 'User' },
    repositorySelection: 'selected' as const,
    permissions: { issues: 'read' },
    subscriptions: ['push'],
    repositories: null,
    asOf: at(second),
    ...fields,
  };
}

function notice(
  second: number,
  happened: InstallationNotice['happened'],
  fields: Partial<InstallationNotice['installation']> = {},
  isSuspended = happened.what === 'suspended',
) {
  return { type: 'receive', notice: { happened, installation: facts(second, fields), isSuspended } } as const;
}

const created: InstallationEvent = {
  type: 'installation_created',
  data: facts(10, { repositories: [repository(1), repository(2)] }),
};
const deleted: InstallationEvent = { type: 'installation_deleted', data: { asOf: at(20) } };

describe('an installation', () => {
  it('is created with what GitHub says of it', () => {
    installation
      .given([])
      .when(notice(10, { what: 'created' }, { repositories: [repository(1), repository(2)] }))
      .yields([created]);
  });

  it('is created once', () => {
    installation
      .given([created])
      .when(notice(10, { what: 'created' }, { repositories: [] }))
      .yieldsNothing();
  });

  it('is there from the first that is heard of it, whatever that is', () => {
    const begin = (second: number) => ({ type: 'installation_created' as const, data: facts(second) });
    installation
      .given([])
      .when(notice(11, { what: 'suspended' }))
      .yields([begin(11), { type: 'installation_suspended', data: { asOf: at(11) } }]);
    installation
      .given([])
      .when(notice(11, { what: 'unsuspended' }))
      .yields([begin(11)]);
    installation
      .given([])
      .when(notice(11, { what: 'deleted' }))
      .yields([begin(11), { type: 'installation_deleted', data: { asOf: at(11) } }]);
  });

  it('is suspended and active again', () => {
    const suspended: InstallationEvent = { type: 'installation_suspended', data: { asOf: at(12) } };
    installation
      .given([created])
      .when(notice(12, { what: 'suspended' }))
      .yields([suspended]);
    installation
      .given([created, suspended])
      .when(notice(12, { what: 'suspended' }))
      .yieldsNothing();
    // GitHub's clock has whole seconds.
    installation
      .given([created, suspended])
      .when(notice(12, { what: 'unsuspended' }))
      .yields([{ type: 'installation_unsuspended', data: { asOf: at(12) } }]);
    installation
      .given([created, suspended])
      .when(notice(11, { what: 'unsuspended' }))
      .yieldsNothing();
  });

  it('is not suspended by what was before it became active, though that comes later', () => {
    installation
      .given([created, { type: 'installation_unsuspended', data: { asOf: at(15) } }])
      .when(notice(14, { what: 'suspended' }))
      .yieldsNothing();
  });

  it('stays deleted, whatever comes late', () => {
    const history = installation.given([created, deleted]);
    history.when(notice(10, { what: 'created' })).yieldsNothing();
    history.when(notice(30, { what: 'created' })).yieldsNothing();
    history.when(notice(30, { what: 'unsuspended' })).yieldsNothing();
    history.when(notice(30, { what: 'deleted' })).yieldsNothing();
    expect(history.state?.status).toBe('deleted');
  });

  it('is deleted by a notice that comes after newer ones', () => {
    installation
      .given([created, { type: 'installation_suspended', data: { asOf: at(40) } }])
      .when(notice(20, { what: 'deleted' }))
      .yields([deleted]);
  });

  it('records of a change of repositories only what is new to it', () => {
    const change = { what: 'repositoriesChanged' as const, added: [repository(2), repository(3)], removed: [] };
    installation
      .given([created])
      .when(notice(10, change))
      .yields([
        {
          type: 'installation_repositories_changed',
          data: { repositorySelection: 'selected', added: [repository(3)], removed: [], asOf: at(10) },
        },
      ]);
  });

  it('does not get a repository back that was taken away after that', () => {
    const taken: InstallationEvent = {
      type: 'installation_repositories_changed',
      data: { repositorySelection: 'selected', added: [], removed: [repository(2)], asOf: at(15) },
    };
    const history = installation.given([created, taken]);
    expect(history.state?.repositories).toEqual([{ ...repository(1), asOf: at(10) }]);
    history.when(notice(14, { what: 'repositoriesChanged', added: [repository(2)], removed: [] })).yieldsNothing();
    history.when(notice(16, { what: 'repositoriesChanged', added: [repository(2)], removed: [] })).yields([
      {
        type: 'installation_repositories_changed',
        data: { repositorySelection: 'selected', added: [repository(2)], removed: [], asOf: at(16) },
      },
    ]);
  });

  it('keeps five thousand repositories and says that there were more', () => {
    const repositories = Array.from({ length: 5_001 }, (_, index) => repository(index + 1));
    const { state } = installation.given([{ type: 'installation_created', data: facts(1, { repositories }) }]);
    expect(state?.repositories).toHaveLength(5_000);
    expect(state?.isTruncated).toBe(true);
  });

  it('is identified once, and forgets why it was not before', () => {
    const failed: InstallationEvent = {
      type: 'installation_identification_failed',
      data: { reason: 'id: down', attempt: 1, retryAt: at(60) },
    };
    const identified = { type: 'installation_identified', data: { chittyId: 'X', did: 'did:chitty:X' } } as const;
    expect(installation.given([created, failed]).state?.identification).toEqual(failed.data);
    expect(installation.given([created, failed, identified]).state).toMatchObject({
      chittyId: 'X',
      identification: null,
    });
    installation.given([created, identified]).when({ type: 'recordIdentification', event: identified }).yieldsNothing();
  });
});

/** What GitHub knows: it changes, and each change is told of. */
type Truth = {
  status: Installation['status'];
  permissions: Record<string, string>;
  repositorySelection: 'all' | 'selected';
  repositories: Map<number, string>;
};

const change = fc.oneof(
  fc.constant({ what: 'suspended' as const }),
  fc.constant({ what: 'unsuspended' as const }),
  fc.record({ what: fc.constant('permissionsAccepted' as const), level: fc.constantFrom('read', 'write', 'admin') }),
  fc.record({
    what: fc.constant('repositoriesChanged' as const),
    added: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 2 }),
    removed: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 2 }),
    selection: fc.constantFrom('all' as const, 'selected' as const),
  }),
);

/** The notices of a history, each with all that was so at its time. */
function noticesOf(
  changes: readonly (typeof change extends fc.Arbitrary<infer Value> ? Value : never)[],
  ends: boolean,
) {
  const truth: Truth = {
    status: 'active',
    permissions: { issues: 'read' },
    repositorySelection: 'selected',
    repositories: new Map([1, 2].map((id) => [id, `octo/${id}`])),
  };
  const tell = (
    second: number,
    happened: InstallationNotice['happened'],
    repositories: boolean,
  ): InstallationNotice => ({
    happened,
    installation: facts(second, {
      permissions: { ...truth.permissions },
      repositorySelection: truth.repositorySelection,
      repositories: repositories ? [...truth.repositories].map(([id, fullName]) => ({ id, fullName })) : null,
    }),
    isSuspended: truth.status === 'suspended',
  });
  const notices = [tell(0, { what: 'created' }, true)];
  for (const [index, each] of changes.entries()) {
    const second = index + 1;
    if (each.what === 'repositoriesChanged') {
      const removed = each.removed.filter((id) => !each.added.includes(id)).map((id) => repository(id));
      const added = each.added.map((id) => repository(id));
      for (const { id, fullName } of added) truth.repositories.set(id, fullName);
      for (const { id } of removed) truth.repositories.delete(id);
      truth.repositorySelection = each.selection;
      notices.push(tell(second, { what: each.what, added, removed }, false));
      continue;
    }
    if (each.what === 'permissionsAccepted') truth.permissions = { issues: each.level };
    else truth.status = each.what === 'suspended' ? 'suspended' : 'active';
    notices.push(tell(second, { what: each.what }, false));
  }
  if (ends) {
    notices.push(tell(changes.length + 1, { what: 'deleted' }, false));
    truth.status = 'deleted';
  }
  return { notices, truth };
}

function receiveAll(notices: readonly InstallationNotice[]): InstallationState {
  let state: InstallationState = null;
  let version = 0;
  for (const each of notices) {
    const command = { type: 'receive', notice: each } as const;
    const decision = installationDecider.decide(command, state, ADMINISTRATOR, Date.parse(at(0)), NO_PAST);
    if (isRefusal(decision)) throw new Error(decision.detail);
    for (const event of decision) {
      version += 1;
      const envelope = { ...event, id: '', stream: STREAM, version, schemaVersion: 1, time: at(0) };
      const cause = { actor: 'act_github', correlationId: '', causationId: null, commandId: '', leafHash: '' };
      state = installationDecider.evolve(state, recorded<InstallationEvent>({ ...envelope, ...cause }));
    }
  }
  return state;
}

describe('notices in any order, some of them twice', () => {
  it('lead to what GitHub knows', () => {
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 8 }),
        fc.boolean(),
        fc.infiniteStream(fc.nat()),
        fc.array(fc.nat(), { maxLength: 4 }),
        (changes, ends, order, twice) => {
          const { notices, truth } = noticesOf(changes, ends);
          const deliveries = [...notices, ...twice.flatMap((n) => notices[n % notices.length] ?? [])]
            .map((each) => [order.next().value, each] as const)
            .sort(([a], [b]) => a - b)
            .map(([, each]) => each);
          const state = receiveAll(deliveries);
          expect(state?.status).toBe(truth.status);
          // After the deletion nothing else is followed any more.
          if (ends) return;
          expect(state?.permissions).toEqual(truth.permissions);
          expect(state?.repositorySelection).toBe(truth.repositorySelection);
          expect(state?.isListed).toBe(true);
          const repositories = new Map(state?.repositories.map(({ id, fullName }) => [id, fullName]));
          expect(repositories).toEqual(truth.repositories);
          // All of it once more changes nothing.
          expect(receiveAll([...deliveries, ...notices])).toEqual(state);
        },
      ),
      { seed: printedSeed('installation notices'), numRuns: 2_000 },
    );
  });
});
