import { SCOPES, type Scope } from '../../../actors/principal.ts';
import { expectJson, issueKey, registerActor, startSession } from '../actors.ts';
import { api, createContext } from '../api.ts';
import { atAnotherTime } from '../clock.ts';
import { contextOf, idOf, invite, type Person, person, share } from '../sharing.ts';
import {
  bearer,
  bootstrapKey,
  capabilitiesOf,
  cookies,
  delegatedTokens,
  endedSession,
  isMadeFor,
  type Kind,
  type Presented,
  principalOf,
  STANDINGS,
  type Standing,
} from './credentials.ts';

/** How long ago that was good which has expired, in milliseconds. */
const EXPIRED_MS = 60_000;
/** How long sessions are used, in milliseconds: half as long as their tokens are good. */
const SESSIONS_MS = 300_000;

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
  #sessionsSince = Date.now();
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
    if (Date.now() - this.#sessionsSince > SESSIONS_MS) this.forgetSessions();
    const name = isMadeFor(kind) ? `${kind}: ${scope}` : kind;
    const made = this.#made.get(name) ?? this.#make(kind, scope);
    this.#made.set(name, made);
    return made;
  }

  /** Forgets the sessions, which were ended, or soon will have. */
  forgetSessions(): void {
    this.#sessionsSince = Date.now();
    this.#made.delete('a session');
    this.#made.delete('a cookie with the CSRF token');
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
      case 'the bootstrap key':
        return bootstrapKey();
      case 'a session': {
        const { accessToken } = await startSession(this.#key, { scopes: SCOPES });
        return bearer(accessToken, this.#principal(SCOPES, 'session'));
      }
      case 'a session that has ended':
        return endedSession(this.#key);
      case 'a cookie with the CSRF token':
      case 'a cookie without the CSRF token':
        return cookies(this.#key, this.#principal(SCOPES, 'session'), kind === 'a cookie with the CSRF token');
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

  #principal(scopes: readonly Scope[], kind: 'api-key' | 'session' = 'api-key') {
    return principalOf(this.id, this.#standing, scopes, kind);
  }
}

/** Makes it all. */
export async function makeWorld(): Promise<World> {
  const owner = await person('owner', { scopes: SCOPES });
  const context = await contextOf(owner);
  const neighbour = await contextOf(owner);
  const { id: other } = await createContext();
  const json = { from: idOf(context), to: idOf(neighbour), type: 'knows' };
  // Lists have it from then on.
  const asked = await owner.post('/v1/connections', json, { Prefer: 'wait=30' });
  const connection = await expectJson<{ id: string }>(asked, 201);
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
    const { key: expired } = await atAnotherTime(-EXPIRED_MS, () =>
      issueKey(holder.id, { expiresAt: new Date(Date.now() + EXPIRED_MS / 2).toISOString() }),
    );
    const { key: revoked, id: revokedId } = await issueKey(holder.id);
    await api(`/v1/actors/${holder.id}/keys/${revokedId}`, { method: 'DELETE' });
    await api(`/v1/actors/${twin.id}/suspend`, { method: 'POST' });
    const delegated = await delegatedTokens(holder, standing, agents, idOf(context), other);
    const ended = { expired, revoked, suspended: twin.key };
    people.set(standing, new Individual(holder.id, standing, holder.key, ended, delegated));
  }
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

/** Lets nobody run into limits: they are not what is tested. */
export async function liftLimits(): Promise<void> {
  const limits = await expectJson<{ classes: object }>(await api('/v1/admin/limits'), 200);
  const most = { requests: 10_000_000, seconds: 1 };
  const classes = Object.fromEntries(Object.keys(limits.classes).map((name) => [name, most]));
  await expectJson(await api('/v1/admin/limits', { method: 'PUT', json: { ...limits, classes } }), 200);
}
