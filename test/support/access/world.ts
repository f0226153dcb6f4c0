import { type Capability, type Principal, SCOPES, type Scope } from '../../../actors/principal.ts';
import { SESSION_COOKIE } from '../../../src/auth/cookies.ts';
import { as, expectJson, issueKey, registerActor, startSession } from '../actors.ts';
import { api, createContext } from '../api.ts';
import { delegate } from '../delegations.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../sharing.ts';

/** Everybody that somebody can be to the context and to the actor that all cells are about. */
export const STANDINGS = [
  'owner',
  'editor',
  'viewer',
  'auditor',
  'invited',
  'stranger',
  'administrator',
  'auditor of all',
  'the actor',
] as const;
export type Standing = (typeof STANDINGS)[number];

/** Every kind of credential that somebody can come with. */
export const CREDENTIALS = [
  'none',
  'a wrong one',
  'a key with all scopes',
  'a key with the scope that it needs',
  'a key with all scopes but that',
  'an expired key',
  'a revoked key',
  'a key of a suspended actor',
  'a session',
  'a cookie without the CSRF token',
  'a delegated token for the context',
  'a delegated token for another context',
  'a delegated token at depth 3 for another context',
] as const;
export type Kind = (typeof CREDENTIALS)[number];

/** What is presented, and whom the access model should take its bearer for; null when for nobody. */
export interface Presented {
  readonly headers: Readonly<Record<string, string>>;
  readonly principal: Principal | null;
}

/** Milliseconds after which the expired keys are expired. */
const EXPIRY_MS = 1_500;

const DELEGATED = SCOPES.filter((scope) => scope !== 'admin');

/** A context, an actor, and everybody who can stand to them in any way, with every kind of credential. */
export class World {
  readonly context: string;
  /** A context with the same members, to which the first is connected. */
  readonly neighbour: string;
  readonly connection: string;
  readonly proposal: string;
  /** The webhook of `the actor`. */
  readonly webhook: string;
  /** Somebody with whom nobody has to do. */
  readonly bystander: string;
  readonly #people: ReadonlyMap<Standing, Individual>;

  constructor(
    people: ReadonlyMap<Standing, Individual>,
    places: Pick<World, 'context' | 'neighbour' | 'connection' | 'proposal' | 'webhook' | 'bystander'>,
  ) {
    this.#people = people;
    this.context = places.context;
    this.neighbour = places.neighbour;
    this.connection = places.connection;
    this.proposal = places.proposal;
    this.webhook = places.webhook;
    this.bystander = places.bystander;
  }

  person(standing: Standing): Individual {
    const found = this.#people.get(standing);
    if (!found) throw new Error(`nobody is ${standing}`);
    return found;
  }

  /** The members of the context, as the access model is asked about them. */
  get members() {
    const since = '2026-01-01T00:00:00.000Z';
    return (['owner', 'editor', 'viewer', 'auditor'] as const).map((role) => ({
      actor: this.person(role).id,
      role,
      since,
    }));
  }
}

/** Somebody with their credentials, which are made when they are first presented. */
export class Individual {
  readonly id: string;
  readonly #standing: Standing;
  readonly #made = new Map<string, Promise<Presented>>();
  /** Keys that are good no more by the time the cells are tried. */
  readonly #ended: { readonly expired: string; readonly revoked: string; readonly suspended: string };
  readonly #key: string;
  readonly #delegated: ReadonlyMap<Kind, Presented>;

  constructor(
    id: string,
    standing: Standing,
    key: string,
    ended: { expired: string; revoked: string; suspended: string },
    delegated: ReadonlyMap<Kind, Presented>,
  ) {
    this.id = id;
    this.#standing = standing;
    this.#key = key;
    this.#ended = ended;
    this.#delegated = delegated;
  }

  /** A credential of a kind. @param scope what the route needs; null when it needs none */
  present(kind: Kind, scope: Scope | null): Promise<Presented> {
    const name = kind.includes('scope') && kind !== 'a key with all scopes' ? `${kind}: ${scope}` : kind;
    const made = this.#made.get(name) ?? this.#make(kind, scope);
    this.#made.set(name, made);
    return made;
  }

  /** Forgets the sessions, which were ended. */
  forgetSessions(): void {
    this.#made.delete('a session');
    this.#made.delete('a cookie without the CSRF token');
  }

  async #make(kind: Kind, scope: Scope | null): Promise<Presented> {
    switch (kind) {
      case 'none':
        return { headers: {}, principal: null };
      case 'a wrong one':
        return bearer(`${this.#key.slice(0, -1)}x`, null);
      case 'a key with all scopes':
        return bearer(this.#key, this.#principal(SCOPES));
      case 'a key with the scope that it needs':
        return this.#keyFor([scope ?? 'delegate']);
      case 'a key with all scopes but that':
        return this.#keyFor(SCOPES.filter((each) => each !== scope));
      case 'an expired key':
        return bearer(this.#ended.expired, null);
      case 'a revoked key':
        return bearer(this.#ended.revoked, null);
      case 'a key of a suspended actor':
        return bearer(this.#ended.suspended, null);
      case 'a session': {
        const { accessToken } = await startSession(this.#key, { scopes: SCOPES });
        return bearer(accessToken, this.#principal(SCOPES, 'session'));
      }
      case 'a cookie without the CSRF token': {
        const json = { scopes: SCOPES, cookies: true };
        const response = await as(this.#key, '/v1/sessions', { method: 'POST', json });
        const cookie = response.headers.getSetCookie().find((each) => each.startsWith(SESSION_COOKIE));
        await expectJson(response, 201);
        return { headers: { Cookie: cookie?.split(';')[0] ?? '' }, principal: this.#principal(SCOPES, 'session') };
      }
      default: {
        const presented = this.#delegated.get(kind);
        if (!presented) throw new Error(`there is no ${kind}`);
        return presented;
      }
    }
  }

  async #keyFor(scopes: readonly Scope[]): Promise<Presented> {
    const { key } = await issueKey(this.id, { scopes });
    return bearer(key, this.#principal(scopes));
  }

  #principal(scopes: readonly Scope[], kind: 'api-key' | 'session' = 'api-key'): Principal {
    return {
      actor: this.id,
      subject: this.id,
      capabilities: capabilitiesOf(this.#standing),
      scopes,
      contexts: null,
      credential: { kind, id: kind },
      chain: [],
      expiresAt: null,
    };
  }
}

function bearer(credential: string, principal: Principal | null): Presented {
  return { headers: { Authorization: `Bearer ${credential}` }, principal };
}

function capabilitiesOf(standing: Standing): readonly Capability[] {
  if (standing === 'administrator') return ['administrator'];
  return standing === 'auditor of all' ? ['auditor'] : [];
}

/** Makes it all. */
export async function makeWorld(): Promise<World> {
  const owner = await person('owner', { scopes: SCOPES });
  const context = await contextOf(owner);
  const neighbour = await contextOf(owner);
  const { id: other } = await createContext();
  const json = { from: idOf(context), to: idOf(neighbour), type: 'knows' };
  const connection = await expectJson<{ id: string }>(await owner.post('/v1/connections', json), 201);
  const sent = await owner.post(`${context}/proposals`, { change: { name: 'Better' } });
  const proposal = await expectJson<{ id: string }>(sent, 201);
  const { id: bystander } = await registerActor({ name: 'bystander' });
  const agents = await Promise.all(['first', 'second', 'third'].map((name) => person(name, { scopes: SCOPES })));

  let webhook = '';
  const people = new Map<Standing, Individual>();
  for (const standing of STANDINGS) {
    const holder = standing === 'owner' ? owner : await person(standing, { scopes: SCOPES });
    // Who is suspended stood in the same way to everything.
    const twin = await person(`${standing}, suspended`, { scopes: SCOPES });
    await makeStand(owner, [context, neighbour], holder, standing);
    await makeStand(owner, [context, neighbour], twin, standing);
    if (standing === 'the actor') webhook = await makeWebhook(holder);
    const { key: expired } = await issueKey(holder.id, { expiresAt: new Date(Date.now() + EXPIRY_MS).toISOString() });
    const { key: revoked, id: revokedId } = await issueKey(holder.id);
    await api(`/v1/actors/${holder.id}/keys/${revokedId}`, { method: 'DELETE' });
    await api(`/v1/actors/${twin.id}/suspend`, { method: 'POST' });
    const delegated = await delegatedTokens(holder, agents, idOf(context), other);
    const ended = { expired, revoked, suspended: twin.key };
    people.set(standing, new Individual(holder.id, standing, holder.key, ended, delegated));
  }
  await new Promise((resolve) => setTimeout(resolve, EXPIRY_MS));
  return new World(people, {
    context: idOf(context),
    neighbour: idOf(neighbour),
    connection: connection.id,
    proposal: proposal.id,
    webhook,
    bystander,
  });
}

async function makeWebhook(by: Person): Promise<string> {
  const sent = await by.post('/v1/webhooks', { url: 'https://hooks.example.com/access' });
  return (await expectJson<{ id: string }>(sent, 201)).id;
}

async function makeStand(owner: Person, contexts: string[], who: Person, standing: Standing): Promise<void> {
  const [context = ''] = contexts;
  switch (standing) {
    case 'owner':
    case 'editor':
    case 'viewer':
    case 'auditor':
      if (who !== owner) for (const each of contexts) await share(owner, each, who, standing);
      return;
    case 'invited':
      await invite(owner, context, who);
      return;
    case 'administrator':
    case 'auditor of all': {
      const [capability] = capabilitiesOf(standing);
      await expectJson(await api(`/v1/actors/${who.id}/capabilities/${capability}`, { method: 'PUT' }), 200);
      return;
    }
    default:
      return;
  }
}

/** What somebody hands to agents: for the context itself, and for another one, directly and by two others. */
async function delegatedTokens(
  from: Person,
  agents: readonly Person[],
  context: string,
  other: string,
): Promise<ReadonlyMap<Kind, Presented>> {
  const [first, second, third] = agents;
  if (!first || !second || !third) throw new Error('three agents are needed');
  const presented = (token: string, actor: string, depth: number, contexts: readonly string[]): Presented => {
    const chain = Array.from({ length: depth }, (_, index) => ({ id: `link ${index}`, by: 'somebody' }));
    const credential = { kind: 'delegation', id: 'delegation' } as const;
    const rights = { scopes: DELEGATED, contexts, capabilities: [], expiresAt: null };
    return bearer(token, { actor, subject: from.id, ...rights, credential, chain });
  };
  const here = await delegate(from.key, first.id, DELEGATED, { contexts: [context] });
  const elsewhere = await delegate(from.key, first.id, DELEGATED, { contexts: [other] });
  const open = await delegate(from.key, first.id, DELEGATED);
  const on = await delegate(open.token, second.id, DELEGATED);
  const deep = await delegate(on.token, third.id, DELEGATED, { contexts: [other] });
  return new Map<Kind, Presented>([
    ['a delegated token for the context', presented(here.token, first.id, 1, [context])],
    ['a delegated token for another context', presented(elsewhere.token, first.id, 1, [other])],
    ['a delegated token at depth 3 for another context', presented(deep.token, third.id, 3, [other])],
  ]);
}

/** Lets nobody run into limits: they are not what is tested. */
export async function liftLimits(): Promise<void> {
  const limits = await expectJson<{ classes: object }>(await api('/v1/admin/limits'), 200);
  const most = { requests: 10_000_000, seconds: 1 };
  const classes = Object.fromEntries(Object.keys(limits.classes).map((name) => [name, most]));
  await expectJson(await api('/v1/admin/limits', { method: 'PUT', json: { ...limits, classes } }), 200);
}
