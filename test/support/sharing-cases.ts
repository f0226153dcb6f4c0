import { derivedId } from '../../events/id.ts';
import { api } from './api.ts';
import { contextOf, invite, type Person, person, share } from './sharing.ts';

/** A request that gets the status from the operation. */
type Case = [operationId: string, status: number, send: () => Promise<Response>];

/** A context of Ann's that she shares with Bob, an editor; Eve has nothing to do with it. */
interface Team {
  readonly ann: Person;
  readonly bob: Person;
  readonly eve: Person;
  readonly context: string;
}

let people: Promise<readonly [Person, Person, Person]> | null = null;

async function team(): Promise<Team> {
  people ??= Promise.all([person('Ann'), person('Bob'), person('Eve')]);
  const [ann, bob, eve] = await people;
  const context = await contextOf(ann);
  await share(ann, context, bob);
  return { ann, bob, eve, context };
}

const onTeam = (send: (team: Team) => Promise<Response>) => async () => send(await team());

const nobody = `/v1/contexts/${derivedId('ctx', 'sharing cases: nobody')}`;
const wrongKey = { 'X-API-Key': 'wrong' };
const stale = { 'If-Match': '"99"' };

/** What every route below a context answers alike. @param json a body that is right */
function common(operationId: string, method: string, path: string, json?: object): Case[] {
  const init = { method, ...(json && { json }) };
  const isChange = method !== 'GET';
  return [
    [operationId, 400, onTeam(({ ann, context }) => ann.call(`${context}${path}?x=1`, init))],
    [operationId, 401, () => api(`${nobody}${path}`, { ...init, headers: wrongKey })],
    [operationId, 404, () => api(`${nobody}${path}`, init)],
    ...(isChange
      ? [
          [
            operationId,
            412,
            onTeam(({ ann, context }) => ann.call(`${context}${path}`, { ...init, headers: stale })),
          ] as Case,
        ]
      : []),
  ];
}

async function invitation({ ann, eve, context }: Team): Promise<string> {
  return invite(ann, context, eve, 'viewer');
}

async function idOfMade(response: Response): Promise<string> {
  const { id }: { id: string } = await response.json();
  return id;
}

async function proposal({ bob, context }: Team, change: object = { name: 'Better' }): Promise<string> {
  return `${context}/proposals/${await idOfMade(await bob.post(`${context}/proposals`, { change }))}`;
}

async function staleProposal(on: Team): Promise<string> {
  const path = await proposal(on);
  await on.ann.patch(on.context, { name: 'Other' });
  return path;
}

async function decided(on: Team): Promise<string> {
  const path = await proposal(on);
  await on.ann.post(`${path}/reject`, { reason: 'no' });
  return path;
}

const anyInvitation = '/invitations/inv_x';
const anyProposal = '/proposals/pro_x';
const change = { change: { name: 'Better' } };

/** The operations by which a context is shared and worked on together. */
export const sharingCases: Case[] = [
  [
    'sendInvitation',
    201,
    onTeam(({ ann, eve, context }) => ann.post(`${context}/invitations`, { actor: eve.id, role: 'viewer' })),
  ],
  [
    'sendInvitation',
    403,
    onTeam(({ bob, eve, context }) => bob.post(`${context}/invitations`, { actor: eve.id, role: 'viewer' })),
  ],
  [
    'sendInvitation',
    409,
    onTeam(({ ann, bob, context }) => ann.post(`${context}/invitations`, { actor: bob.id, role: 'viewer' })),
  ],
  [
    'sendInvitation',
    400,
    onTeam(({ ann, context }) => ann.post(`${context}/invitations`, { actor: 'x', role: 'viewer' })),
  ],
  [
    'listContextInvitations',
    200,
    onTeam(async (on) => {
      await invitation(on);
      return on.ann.call(`${on.context}/invitations`);
    }),
  ],
  ['listContextInvitations', 403, onTeam(({ bob, context }) => bob.call(`${context}/invitations`))],
  ...common('listContextInvitations', 'GET', '/invitations'),
  ['acceptInvitation', 200, onTeam(async (on) => on.eve.post(`${await invitation(on)}/accept`))],
  ['acceptInvitation', 403, onTeam(async (on) => on.ann.post(`${await invitation(on)}/accept`))],
  [
    'acceptInvitation',
    409,
    onTeam(async (on) => {
      const path = await invitation(on);
      await on.ann.remove(on.context);
      return on.eve.post(`${path}/accept`);
    }),
  ],
  ...common('acceptInvitation', 'POST', `${anyInvitation}/accept`),
  ['declineInvitation', 204, onTeam(async (on) => on.eve.post(`${await invitation(on)}/decline`))],
  ['declineInvitation', 403, onTeam(async (on) => on.ann.post(`${await invitation(on)}/decline`))],
  ...common('declineInvitation', 'POST', `${anyInvitation}/decline`),
  ['withdrawInvitation', 204, onTeam(async (on) => on.ann.remove(await invitation(on)))],
  ['withdrawInvitation', 403, onTeam(async (on) => on.bob.remove(await invitation(on)))],
  ...common('withdrawInvitation', 'DELETE', anyInvitation),
  [
    'listInvitations',
    200,
    onTeam(async (on) => {
      await invitation(on);
      return on.eve.call('/v1/invitations');
    }),
  ],
  ['listInvitations', 400, () => api('/v1/invitations?limit=0')],
  ['listInvitations', 401, () => api('/v1/invitations', { headers: wrongKey })],
  ['changeRole', 200, onTeam(({ ann, bob, context }) => ann.patch(`${context}/members/${bob.id}`, { role: 'viewer' }))],
  ['changeRole', 403, onTeam(({ bob, context }) => bob.patch(`${context}/members/${bob.id}`, { role: 'owner' }))],
  ['changeRole', 409, onTeam(({ ann, context }) => ann.patch(`${context}/members/${ann.id}`, { role: 'viewer' }))],
  ...common('changeRole', 'PATCH', '/members/act_x', { role: 'viewer' }),
  ['removeMember', 204, onTeam(({ ann, bob, context }) => ann.remove(`${context}/members/${bob.id}`))],
  ['removeMember', 403, onTeam(({ ann, bob, context }) => bob.remove(`${context}/members/${ann.id}`))],
  ['removeMember', 409, onTeam(({ ann, context }) => ann.remove(`${context}/members/${ann.id}`))],
  ...common('removeMember', 'DELETE', '/members/act_x'),
  ['leaveContext', 204, onTeam(({ bob, context }) => bob.post(`${context}/leave`))],
  ['leaveContext', 409, onTeam(({ ann, context }) => ann.post(`${context}/leave`))],
  ...common('leaveContext', 'POST', '/leave'),
  ['transferOwnership', 200, onTeam(({ ann, bob, context }) => ann.post(`${context}/transfer`, { to: bob.id }))],
  ['transferOwnership', 403, onTeam(({ bob, context }) => bob.post(`${context}/transfer`, { to: bob.id }))],
  ...common('transferOwnership', 'POST', '/transfer', { to: 'act_x' }),
  ['addNote', 201, onTeam(({ bob, context }) => bob.post(`${context}/notes`, { text: 'a note' }))],
  [
    'addNote',
    409,
    onTeam(async ({ ann, context }) => {
      await ann.remove(context);
      return ann.post(`${context}/notes`, { text: 'a' });
    }),
  ],
  ...common('addNote', 'POST', '/notes', { text: 'a note' }),
  [
    'listNotes',
    200,
    onTeam(async ({ bob, context }) => {
      await bob.post(`${context}/notes`, { text: 'a' });
      return bob.call(`${context}/notes`);
    }),
  ],
  ['listNotes', 200, onTeam(({ bob, context }) => bob.call(`${context}/notes?at=1`))],
  ...common('listNotes', 'GET', '/notes'),
  [
    'removeNote',
    204,
    onTeam(async ({ bob, context }) =>
      bob.remove(`${context}/notes/${await idOfMade(await bob.post(`${context}/notes`, { text: 'a' }))}`),
    ),
  ],
  ...common('removeNote', 'DELETE', '/notes/note_x'),
  [
    'makeProposal',
    201,
    onTeam(({ bob, context }) => bob.post(`${context}/proposals`, { ...change, message: 'Why not' })),
  ],
  ['makeProposal', 400, onTeam(({ bob, context }) => bob.post(`${context}/proposals`, { change: { name: 'Shared' } }))],
  ...common('makeProposal', 'POST', '/proposals', change),
  [
    'listProposals',
    200,
    onTeam(async (on) => {
      await decided(on);
      await staleProposal(on);
      await proposal(on);
      return on.bob.call(`${on.context}/proposals`);
    }),
  ],
  ['listProposals', 200, onTeam(({ bob, context }) => bob.call(`${context}/proposals?at=1`))],
  ...common('listProposals', 'GET', '/proposals'),
  ['readProposal', 200, onTeam(async (on) => on.bob.call(await proposal(on)))],
  ['readProposal', 200, onTeam(async (on) => on.bob.call(await decided(on)))],
  ['readProposal', 200, onTeam(async (on) => on.bob.call(`${await decided(on)}?at=99`))],
  ...common('readProposal', 'GET', anyProposal),
  ['commentProposal', 201, onTeam(async (on) => on.bob.post(`${await proposal(on)}/comments`, { text: 'Hm' }))],
  ['commentProposal', 409, onTeam(async (on) => on.bob.post(`${await decided(on)}/comments`, { text: 'Hm' }))],
  ...common('commentProposal', 'POST', `${anyProposal}/comments`, { text: 'Hm' }),
  ['approveProposal', 200, onTeam(async (on) => on.ann.post(`${await proposal(on)}/approve`))],
  ['approveProposal', 403, onTeam(async (on) => on.bob.post(`${await proposal(on)}/approve`))],
  ['approveProposal', 409, onTeam(async (on) => on.ann.post(`${await staleProposal(on)}/approve`))],
  ...common('approveProposal', 'POST', `${anyProposal}/approve`),
  ['rejectProposal', 200, onTeam(async (on) => on.ann.post(`${await proposal(on)}/reject`))],
  ['rejectProposal', 409, onTeam(async (on) => on.ann.post(`${await decided(on)}/reject`))],
  ...common('rejectProposal', 'POST', `${anyProposal}/reject`),
  ['withdrawProposal', 200, onTeam(async (on) => on.bob.post(`${await proposal(on)}/withdraw`))],
  ['withdrawProposal', 403, onTeam(async (on) => on.ann.post(`${await proposal(on)}/withdraw`))],
  ...common('withdrawProposal', 'POST', `${anyProposal}/withdraw`),
  ['rebaseProposal', 200, onTeam(async (on) => on.bob.post(`${await staleProposal(on)}/rebase`))],
  ['rebaseProposal', 403, onTeam(async (on) => on.ann.post(`${await staleProposal(on)}/rebase`))],
  ...common('rebaseProposal', 'POST', `${anyProposal}/rebase`),
  ['readRules', 200, onTeam(({ bob, context }) => bob.call(`${context}/rules`))],
  ['readRules', 200, onTeam(({ bob, context }) => bob.call(`${context}/rules?at=1`))],
  ...common('readRules', 'GET', '/rules'),
  ['patchRules', 200, onTeam(({ ann, context }) => ann.patch(`${context}/rules`, { approvalsRequired: 2 }))],
  ['patchRules', 400, onTeam(({ ann, context }) => ann.patch(`${context}/rules`, { approvalsRequired: 11 }))],
  ['patchRules', 403, onTeam(({ bob, context }) => bob.patch(`${context}/rules`, { proposalsOnly: true }))],
  ...common('patchRules', 'PATCH', '/rules', { proposalsOnly: true }),
  ['readPresence', 200, onTeam(({ bob, context }) => bob.call(`${context}/presence`))],
  ...common('readPresence', 'GET', '/presence'),
];
