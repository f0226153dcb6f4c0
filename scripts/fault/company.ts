import { z } from 'zod';
import { ask } from './ask.ts';
import { readLog } from './downstream.ts';
import type { Random } from './random.ts';
import type { Target } from './writers.ts';

/** People who share a context. */
const PEOPLE = 4;
const ROLES = ['owner', 'editor', 'viewer', 'auditor'] as const;
type Role = (typeof ROLES)[number];

const made = z.looseObject({ id: z.string() });
const issued = z.looseObject({ id: z.string(), key: z.string() });
const logged = z.looseObject({
  type: z.string(),
  data: z.looseObject({ owner: z.string().optional(), actor: z.string().optional(), role: z.enum(ROLES).optional() }),
  actor: z.string(),
});

interface Key {
  readonly id: string;
  readonly secret: string;
  /** `ending` when its revocation was asked for and not answered. */
  fate: 'good' | 'ending' | 'ended';
}

interface Person {
  readonly id: string;
  readonly keys: Key[];
}

/** A change of the context that was acknowledged, by the version that it made. */
interface Acknowledged {
  readonly version: number;
  readonly type: string;
}

/** Several people with keys of their own who share one context: what they are to it has to be what its log says. */
export class Company {
  readonly context: string;
  readonly #people: readonly [Person, ...Person[]];
  readonly #acknowledged: Acknowledged[] = [];
  readonly #violations: string[] = [];
  #done = 0;

  private constructor(context: string, people: readonly [Person, ...Person[]]) {
    this.context = context;
    this.#people = people;
  }

  /** How much of what they did was acknowledged. */
  get done(): number {
    return this.#done;
  }

  /** Registers them, and has the first create the context. Nothing may be wrong meanwhile. */
  static async found(target: Target): Promise<Company> {
    const register = async (_: unknown, n: number): Promise<Person> => {
      const json = { kind: 'person', name: `Person ${n}` };
      const { id } = await answered(ask(target, '/v1/actors', { method: 'POST', json }), made);
      const path = `/v1/actors/${id}/keys`;
      const { id: key, key: secret } = await answered(
        ask(target, path, { method: 'POST', json: { name: 'first' } }),
        issued,
      );
      return { id, keys: [{ id: key, secret, fate: 'good' }] };
    };
    const [first, ...others] = await Promise.all(Array.from({ length: PEOPLE }, register));
    if (!first) throw new Error('a company has people');
    const { id } = await answered(
      ask(withKey(target, goodKey(first)), '/v1/contexts', { method: 'POST', json: { name: 'Shared' } }),
      made,
    );
    return new Company(id, [first, ...others]);
  }

  /** Lets them share, change roles, leave, and make and revoke keys until `signal` says so or nobody answers. */
  async work(target: Target, random: Random, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && (await this.#act(target, random))) {
      // The next one.
    }
  }

  /** Compares what each key opens with the log, which has to have all that was acknowledged. @returns what is wrong */
  async check(target: Target): Promise<string[]> {
    const events = (await readLog(target, this.context)).map((line) => logged.parse(JSON.parse(line)));
    const violations = this.#violations.splice(0);
    for (const { version, type } of this.#acknowledged) {
      const found = events[version - 1]?.type;
      if (found !== type) violations.push(`version ${version} was acknowledged as ${type}, and is ${found}`);
    }
    const roles = rolesOf(events);
    if (![...roles.values()].includes('owner')) violations.push(`${this.context} has no owner`);
    for (const person of this.#people) {
      for (const key of person.keys) violations.push(...(await this.#try(target, person, key, roles.get(person.id))));
    }
    return violations;
  }

  async #try(target: Target, person: Person, key: Key, role: Role | undefined): Promise<string[]> {
    const path = `/v1/contexts/${this.context}`;
    const read = await status(ask(withKey(target, key), path));
    const change = { method: 'PATCH', json: { name: 'Other' }, ifMatch: '"999999"' } as const;
    const changed = await status(ask(withKey(target, key), path, change));
    const mayChange = role === 'owner' || role === 'editor';
    // Who is invited may know of it: 403.
    const isAsTheRole = role ? read === 200 && changed === (mayChange ? 412 : 403) : isNone(read) && isNone(changed);
    const isOut = read === 401 && changed === 401;
    const isRight = key.fate === 'good' ? isAsTheRole : key.fate === 'ended' ? isOut : isOut || isAsTheRole;
    if (isRight) return [];
    return [
      `${person.id}, ${role ?? 'no member'}, with a key that is ${key.fate}, was answered ${read} and ${changed}`,
    ];
  }

  /** One thing that somebody does. @returns whether it was answered */
  async #act(target: Target, random: Random): Promise<boolean> {
    // Mostly the founder, who is an owner at first: others may do little until they are let.
    const by = random.chance(0.5) ? this.#people[0] : random.pick(this.#people);
    const other = random.pick(this.#people);
    const as = withKey(target, goodKey(by));
    const path = `/v1/contexts/${this.context}`;
    const dice = random.next();
    try {
      if (dice < 0.35) return await this.#share(target, as, other, random.pick(ROLES));
      if (dice < 0.6) {
        const json = { role: random.pick(ROLES) };
        return await this.#expect(ask(as, `${path}/members/${other.id}`, { method: 'PATCH', json }));
      }
      if (dice < 0.7) {
        const type = other === by ? 'member_left' : 'member_removed';
        return await this.#expect(ask(as, `${path}/members/${other.id}`, { method: 'DELETE' }), type);
      }
      return await this.#changeKeys(as, by);
    } catch {
      // The connection broke: it was killed.
      return false;
    }
  }

  async #share(target: Target, as: Target, guest: Person, role: Role): Promise<boolean> {
    const path = `/v1/contexts/${this.context}/invitations`;
    const sent = await ask(as, path, { method: 'POST', json: { actor: guest.id, role } });
    if (sent.status !== 201) return this.#expect(Promise.resolve(sent));
    this.#note(sent, 'invitation_sent');
    const { id } = made.parse(await sent.json());
    const accepted = ask(withKey(target, goodKey(guest)), `${path}/${id}/accept`, { method: 'POST' });
    return this.#expect(accepted, 'invitation_accepted');
  }

  /** Makes another key, or revokes the oldest that is not the only one. */
  async #changeKeys(as: Target, by: Person): Promise<boolean> {
    const good = by.keys.filter(({ fate }) => fate === 'good');
    const [oldest] = good;
    if (good.length < 2) {
      const response = await ask(as, '/v1/actors/me/keys', { method: 'POST', json: { name: 'another' } });
      if (response.status !== 201) return this.#expect(Promise.resolve(response));
      const { id, key: secret } = issued.parse(await response.json());
      by.keys.push({ id, secret, fate: 'good' });
      this.#done += 1;
      return true;
    }
    if (!oldest) return true;
    oldest.fate = 'ending';
    const revoked = await status(ask(as, `/v1/actors/me/keys/${oldest.id}`, { method: 'DELETE' }));
    if (revoked === 204) {
      oldest.fate = 'ended';
      this.#done += 1;
    }
    return revoked !== 503;
  }

  /** Notes what came of a change. @param type the event that it is, when that is known */
  async #expect(asked: Promise<Response>, type?: string): Promise<boolean> {
    const response = await asked;
    const text = await response.text();
    if (response.status === 503) return false;
    if (response.ok) this.#done += 1;
    if (response.ok && type !== undefined) this.#note(response, type);
    const isExpected = response.ok || [400, 403, 404, 409].includes(response.status);
    if (!isExpected) this.#violations.push(`${response.url} was answered ${response.status}: ${text}`);
    return true;
  }

  #note(response: Response, type: string): void {
    const version = Number(/^"(\d+)"$/.exec(response.headers.get('ETag') ?? '')?.[1]);
    this.#acknowledged.push({ version, type });
  }
}

const isNone = (code: number) => code === 404 || code === 403;

/** Who is what, by nothing but the events. */
function rolesOf(events: readonly z.infer<typeof logged>[]): Map<string, Role> {
  const roles = new Map<string, Role>();
  for (const { type, actor: by, data } of events) {
    if (type === 'context_created' && data.owner) roles.set(data.owner, 'owner');
    if ((type === 'invitation_accepted' || type === 'member_role_changed') && data.role) {
      roles.set(data.actor ?? by, data.role);
    }
    if (type === 'member_removed' || type === 'member_left') roles.delete(data.actor ?? by);
  }
  return roles;
}

function goodKey({ keys }: Person): Key {
  const found = keys.findLast(({ fate }) => fate === 'good');
  if (!found) throw new Error('everybody keeps a key');
  return found;
}

function withKey({ url }: Target, { secret }: Key): Target {
  return { url, apiKey: secret };
}

async function answered<Value>(asked: Promise<Response>, schema: z.ZodType<Value>): Promise<Value> {
  const response = await asked;
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${text}`);
  return schema.parse(JSON.parse(text));
}

async function status(asked: Promise<Response>): Promise<number> {
  const response = await asked;
  await response.arrayBuffer();
  return response.status;
}
