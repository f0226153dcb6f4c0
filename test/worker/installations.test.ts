import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { Installation } from '../../actors/installation.ts';
import { derivedId } from '../../events/id.ts';
import { clearInstallations, projectInstallation } from '../../projections/installations.ts';
import type { ChittyOs } from '../../src/chittyos/services.ts';
import { identityProcess } from '../../src/github/identity.ts';
import { api } from '../support/api.ts';
import { deliver, payload } from '../support/github.ts';
import { ADMINISTRATOR, principalOf } from '../support/principals.ts';
import { expectInvalid, expectProblem } from '../support/rest.ts';

const PATH = '/v1/installations';
const page = z.strictObject({ items: z.array(z.looseObject({ id: z.string() })), nextCursor: z.string().nullable() });

const at = (second: number) => new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString();

/** The state of the nth installation. */
function installation(n: number, fields: Partial<Installation> = {}): Installation {
  return {
    id: derivedId('ins', `list ${n}`),
    githubId: n,
    appId: 1,
    chittyId: null,
    account: { id: n, login: `Octo-${n}`, type: 'User' },
    status: 'active',
    repositorySelection: 'all',
    repositories: [],
    removedRepositories: [],
    isListed: true,
    isTruncated: false,
    permissions: {},
    subscriptions: [],
    identification: null,
    asOf: { status: at(n), permissions: at(n), repositorySelection: at(n) },
    version: 1,
    createdAt: at(n),
    updatedAt: at(n),
    ...fields,
  };
}

async function list(query = ''): Promise<z.infer<typeof page>> {
  const response = await api(PATH + query);
  expect(response.status).toBe(200);
  return page.parse(await response.json());
}

/** Waits until the list has this one and no other: what is shown a moment later would be in the next test's list. */
const untilOnly = (shown: object) => vi.waitFor(async () => expect((await list()).items).toMatchObject([shown]));

/** Has GitHub tell of a new installation, which is then in the list. */
async function created(githubId: number): Promise<void> {
  await deliver({ body: JSON.stringify(payload(githubId, 'created')) });
  await untilOnly({ githubId, status: 'active' });
}

const ids = (...numbers: number[]) => numbers.map((n) => installation(n).id);
const idsOf = ({ items }: z.infer<typeof page>) => items.map(({ id }) => id);

beforeEach(() => clearInstallations(env.DB));

describe('the list of installations', () => {
  it('shows one a moment after GitHub told of it', async () => {
    await created(77);
    await deliver({ body: JSON.stringify(payload(77, 'suspend', { installation: { updated_at: 1_600_000_000 } })) });
    await untilOnly({ githubId: 77, status: 'suspended' });
  });

  it('is newest first, in pages that stay right while some are added', async () => {
    for (const n of [1, 2, 3, 4, 5]) await projectInstallation(env.DB, installation(n));
    // Of the same moment as another.
    await projectInstallation(env.DB, installation(6, { createdAt: at(3) }));
    const [all, found] = [idsOf(await list()), [] as string[]];
    expect(all.filter((id) => !ids(3, 6).includes(id))).toEqual(ids(5, 4, 2, 1));
    let cursor: string | null | undefined;
    while (cursor !== null) {
      const read: z.infer<typeof page> = await list(`?limit=2${cursor === undefined ? '' : `&cursor=${cursor}`}`);
      found.push(...idsOf(read));
      cursor = read.nextCursor;
      await projectInstallation(env.DB, installation(10 + found.length));
    }
    expect(found).toEqual(all);
  });

  it('tells no next page when the last one is full', async () => {
    for (const n of [1, 2]) await projectInstallation(env.DB, installation(n));
    expect((await list('?limit=2')).nextCursor).toBeNull();
  });

  it('is filtered by status and by account, in any case', async () => {
    await projectInstallation(env.DB, installation(1));
    await projectInstallation(env.DB, installation(2, { status: 'deleted' }));
    expect(idsOf(await list('?status=deleted'))).toEqual(ids(2));
    expect(idsOf(await list('?account=octo-1'))).toEqual(ids(1));
    expect(idsOf(await list('?account=octo-1&status=deleted'))).toEqual([]);
    expect(idsOf(await list("?account=octo-1'%20OR%20'1'='1"))).toEqual([]);
  });

  it.each([
    ['status', 'x', 'must be active, suspended or deleted'],
    ['account', '', 'must have 1 to 255 characters; leave it out to have all'],
    ['limit', '0', 'must be a whole number from 1 to 100'],
    ['limit', '101', 'must be a whole number from 1 to 100'],
    ['cursor', 'x', 'must be the nextCursor of the page before; start without one'],
  ])('refuses %s=%j', async (name, value, message) => {
    await expectInvalid(await api(`${PATH}?${name}=${value}`), name, message);
  });
});

describe('one installation', () => {
  it.each(['ins_1', derivedId('ins', 'nobody'), derivedId('ctx', 'another'), '77'])('is 404 as %s', async (id) => {
    await expectProblem(await api(`${PATH}/${id}`), 404, 'not-found');
  });

  it('is nobody’s but an administrator’s', async () => {
    await created(79);
    const id = derivedId('ins', 'github installation 79');
    const stub = env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(id));
    expect(await stub.view(principalOf('act_somebody'))).toMatchObject({ refused: 'forbidden' });
    expect(await stub.view(ADMINISTRATOR)).toMatchObject({ version: 1 });
    await expectProblem(await api(`${PATH}/${id}`, { headers: { 'X-API-Key': 'wrong' } }), 401, 'unauthorized');
  });

  it('has its version as its ETag', async () => {
    await created(78);
    const response = await api(`${PATH}/${derivedId('ins', 'github installation 78')}`);
    expect(response.headers.get('ETag')).toBe('"1"');
  });
});

describe('the read model', () => {
  it('keeps the newest, whatever comes after it', async () => {
    await projectInstallation(env.DB, installation(1, { version: 3, status: 'suspended' }));
    await projectInstallation(env.DB, installation(1, { version: 2 }));
    await projectInstallation(env.DB, installation(1, { version: 3 }));
    expect((await list()).items).toMatchObject([{ version: 3, status: 'suspended' }]);
  });
});

describe('the ChittyID of an installation', () => {
  const failure = {
    service: 'id',
    operation: 'mint',
    kind: 'status',
    status: 503,
    detail: 'It answered 503.',
    retryable: true,
  } as const;

  /** Services of which only the authority is asked. */
  function authority(mint: ChittyOs['id']['mint']): ChittyOs {
    const id: Partial<ChittyOs['id']> = { mint };
    const services: Partial<ChittyOs> = { id: id as ChittyOs['id'] };
    return services as ChittyOs;
  }

  it('is asked for with the same key however often', async () => {
    const mint = vi.fn<ChittyOs['id']['mint']>(async () => ({ ok: true, value: { id: 'C', did: 'did:chitty:C' } }));
    const process = identityProcess(authority(mint));
    for (let time = 0; time < 2; time++) {
      expect(await process.next(installation(1))?.perform('r')).toEqual({
        type: 'recordIdentification',
        event: { type: 'installation_identified', data: { chittyId: 'C', did: 'did:chitty:C' } },
      });
    }
    expect(new Set(mint.mock.calls.map(([, options]) => options?.idempotencyKey))).toEqual(
      new Set([`${installation(1).id}:identify`]),
    );
  });

  it('is tried again later and later', async () => {
    const process = identityProcess(authority(async () => ({ ok: false, failure })));
    const command = await process.next(installation(1))?.perform('r');
    expect(command).toMatchObject({ event: { data: { attempt: 1, reason: 'id: It answered 503.' } } });
    const identification = { reason: 'x', attempt: 3, retryAt: at(99) };
    const step = process.next(installation(1, { identification }));
    expect(step?.dueAt).toBe(Date.parse(at(99)));
    expect(await step?.perform('r')).toMatchObject({ event: { data: { attempt: 4 } } });
  });

  it('is not put off until a time that only a clock which was put back has to come to', () => {
    const process = identityProcess(authority(async () => ({ ok: false, failure })));
    const dueIn = (minutes: number) => {
      const retryAt = new Date(Date.now() + minutes * 60_000).toISOString();
      return process.next(installation(1, { identification: { reason: 'x', attempt: 3, retryAt } }))?.dueAt;
    };
    expect(dueIn(14)).toBeGreaterThan(Date.now());
    expect(dueIn(24 * 60)).toBe(0);
  });

  it('is not asked for when it is there, or the installation is gone', () => {
    const process = identityProcess(authority(async () => ({ ok: false, failure })));
    expect(process.next(installation(1, { chittyId: 'C' }))).toBeNull();
    expect(process.next(installation(1, { status: 'deleted' }))).toBeNull();
    expect(process.next(null)).toBeNull();
  });
});
