import { evictDurableObject, listDurableObjectIds } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SYSTEM } from '../../actors/principal.ts';
import { derivedId } from '../../events/id.ts';
import { api } from '../support/api.ts';
import { deliver, payload, repository, sign, WEBHOOK } from '../support/github.ts';
import { configured, expectInvalid, expectProblem } from '../support/rest.ts';

const installationJson = z.looseObject({
  status: z.string(),
  version: z.int(),
  repositories: z.array(z.looseObject({ fullName: z.string() })),
});

const secret = String(env.GITHUB_WEBHOOK_SECRET);

let last = 0;

/** A number that no installation of another test has. */
function nextNumber(): number {
  last += 1;
  return 1_000 + last;
}

const idOf = (githubId: number) => derivedId('ins', `github installation ${githubId}`);

async function stored(githubId: number): Promise<z.infer<typeof installationJson>> {
  const response = await api(`/v1/installations/${idOf(githubId)}`);
  return installationJson.parse(await response.json());
}

/** Delivers, and gives what became of it. */
async function outcome(body: unknown, more: { event?: string; delivery?: string } = {}): Promise<unknown> {
  const response = await deliver({ body: JSON.stringify(body), ...more });
  expect(response.status).toBe(200);
  return (await response.json<{ status: string }>()).status;
}

describe('what GitHub delivers', () => {
  it('makes an installation, with what is kept of it', async () => {
    const number = nextNumber();
    const body = payload(number, 'created', {
      repositories: [repository(2, 'octo-org/b'), repository(1, 'octo-org/a')],
    });
    const response = await deliver({ body: JSON.stringify(body) });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'recorded', installation: idOf(number) });
    expect(await stored(number)).toEqual({
      id: idOf(number),
      githubId: number,
      appId: 29_310,
      chittyId: null,
      account: { id: 21_031_067, login: 'Octo-Org', type: 'Organization' },
      status: 'active',
      repositorySelection: 'selected',
      repositories: [
        { id: 1, fullName: 'octo-org/a', asOf: '2019-05-15T15:19:51.000Z' },
        { id: 2, fullName: 'octo-org/b', asOf: '2019-05-15T15:19:51.000Z' },
      ],
      removedRepositories: [],
      isListed: true,
      isTruncated: false,
      permissions: { issues: 'write', metadata: 'read' },
      subscriptions: ['push', 'issues'],
      identification: null,
      asOf: {
        status: '2019-05-15T15:19:51.000Z',
        permissions: '2019-05-15T15:19:51.000Z',
        repositorySelection: '2019-05-15T15:19:51.000Z',
      },
      version: 1,
      createdAt: expect.any(String),
      updatedAt: expect.any(String),
    });
  });

  it('changes its repositories, permissions and status, and deletes it', async () => {
    const number = nextNumber();
    const later = (seconds: number, fields: object = {}) => ({
      installation: { updated_at: 1_557_933_591 + seconds, ...fields },
    });
    await outcome(payload(number, 'created', { repositories: [repository(1)] }));
    const lists = { repositories_added: [repository(2)], repositories_removed: [repository(1)] };
    const change = payload(number, 'added', { ...later(1), ...lists, repository_selection: 'all' });
    expect(await outcome(change, { event: 'installation_repositories' })).toBe('recorded');
    expect(await stored(number)).toMatchObject({ repositorySelection: 'all', repositories: [{ id: 2 }] });
    await outcome(payload(number, 'new_permissions_accepted', later(2, { permissions: { checks: 'write' } })));
    expect(await stored(number)).toMatchObject({ permissions: { checks: 'write' } });
    // As GitHub writes times here.
    await outcome(payload(number, 'suspend', later(3, { updated_at: '2021-04-28T22:32:50.000-04:00' })));
    expect(await stored(number)).toMatchObject({ status: 'suspended', asOf: { status: '2021-04-29T02:32:50.000Z' } });
    await outcome(payload(number, 'unsuspend', later(4, { updated_at: '2021-04-28T22:32:50.000-04:00' })));
    expect(await stored(number)).toMatchObject({ status: 'active' });
    await outcome(payload(number, 'deleted', later(5)));
    expect(await stored(number)).toMatchObject({ status: 'deleted', version: 6 });
  });

  it('is taken of an enterprise, which has a slug and no login', async () => {
    const number = nextNumber();
    const account = { id: 5, slug: 'octo-enterprise', name: 'Octo' };
    await outcome(payload(number, 'created', { installation: { account } }));
    expect(await stored(number)).toMatchObject({ account: { id: 5, login: 'octo-enterprise', type: 'Enterprise' } });
  });

  it('changes nothing when it is delivered again, also after the object was evicted', async () => {
    const number = nextNumber();
    const body = payload(number, 'created');
    const delivery = crypto.randomUUID();
    expect(await outcome(body, { delivery })).toBe('recorded');
    await evictDurableObject(env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(idOf(number))));
    expect(await outcome(body, { delivery })).toBe('unchanged');
    // Under another id, which is not signed.
    expect(await outcome(body)).toBe('unchanged');
    expect((await stored(number)).version).toBe(1);
  });

  it('does not bring a deleted installation back when it comes late', async () => {
    const number = nextNumber();
    await outcome(payload(number, 'deleted'));
    expect(await outcome(payload(number, 'created'))).toBe('unchanged');
    expect(await outcome(payload(number, 'unsuspend', { installation: { updated_at: 2_000_000_000 } }))).toBe(
      'unchanged',
    );
    expect((await stored(number)).status).toBe('deleted');
  });

  it('is refused when another delivery had its id', async () => {
    const delivery = crypto.randomUUID();
    const number = nextNumber();
    await outcome(payload(number, 'created'), { delivery });
    const response = await deliver({ body: JSON.stringify(payload(number, 'suspend')), delivery });
    await expectProblem(response, 422, 'idempotency-key-reused');
    expect((await stored(number)).status).toBe('active');
  });

  it('has its delivery id in the history as the command', async () => {
    const number = nextNumber();
    const delivery = crypto.randomUUID();
    await outcome(payload(number, 'created'), { delivery });
    const page = await env.INSTALLATIONS.get(env.INSTALLATIONS.idFromName(idOf(number))).history(SYSTEM, 0, 10);
    expect(JSON.parse('events' in page ? (page.events[0] ?? '') : '')).toMatchObject({
      type: 'installation_created',
      actor: 'act_github',
      commandId: delivery,
      stream: `installation/${idOf(number)}`,
    });
  });

  it('is answered pong when it is a ping', async () => {
    const response = await deliver({ event: 'ping', body: '{"zen":"Keep it logically awesome."}' });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'pong' });
  });

  it.each(['push', 'pull_request', 'issues', 'meta'])('is ignored and kept nowhere when it is %s', async (event) => {
    const objects = await listDurableObjectIds(env.INSTALLATIONS);
    const response = await deliver({ event, body: JSON.stringify(payload(nextNumber(), 'created')) });
    expect(response.status).toBe(202);
    expect(await response.json()).toEqual({ status: 'ignored' });
    expect(await listDurableObjectIds(env.INSTALLATIONS)).toHaveLength(objects.length);
  });
});

describe('what GitHub did not sign', () => {
  const number = nextNumber();
  const body = JSON.stringify(payload(number, 'created'));

  it.each<[string, () => Promise<string | null>]>([
    ['has no signature', async () => null],
    ['has an empty one', async () => ''],
    ['is signed with another secret', () => sign(body, `${secret}x`)],
    ['is signed with the administrator’s key', () => sign(body, String(env.BOOTSTRAP_API_KEY))],
    ['has the signature of another body', () => sign(`${body} `, secret)],
    ['has a signature without the name of the hash', async () => (await sign(body, secret)).slice('sha256='.length)],
    ['has half a signature', async () => (await sign(body, secret)).slice(0, -32)],
    ['has a signature and more', async () => `${await sign(body, secret)}00`],
    ['has a signature in capitals', async () => (await sign(body, secret)).toUpperCase()],
    ['names SHA-1', async () => (await sign(body, secret)).replace('sha256', 'sha1')],
  ])('is 401 and kept nowhere: it %s', async (_what, signature) => {
    const objects = await listDurableObjectIds(env.INSTALLATIONS);
    const response = await deliver({ body, signature: await signature() });
    expect(response.headers.get('WWW-Authenticate')).toBe('X-Hub-Signature-256 realm="chittyconnect"');
    await expectProblem(response, 401, 'unauthorized');
    expect(await listDurableObjectIds(env.INSTALLATIONS)).toHaveLength(objects.length);
  });

  it('is 401 also with an API key', async () => {
    const response = await api(WEBHOOK, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
    await expectProblem(response, 401, 'unauthorized');
  });

  it('is not told what is wrong inside of it', async () => {
    const response = await deliver({ event: '', delivery: '', body: '{', signature: 'sha256=' });
    await expectProblem(response, 401, 'unauthorized');
  });

  it.each(['', '   '])('is 503 when no secret is set (%j), whatever it is signed with', async (unset) => {
    const response = await deliver({ body, signature: await sign(body, 'x') }, { GITHUB_WEBHOOK_SECRET: unset });
    await expectProblem(response, 503, 'not-configured');
  });
});

describe('a delivery that is not as GitHub makes them', () => {
  it.each<[string, string | Uint8Array<ArrayBuffer>]>([
    ['no JSON', '{"action":'],
    ['nothing', ''],
    ['no UTF-8', new Uint8Array([0x7b, 0xff, 0x7d])],
  ])('is 400 when it is %s', async (_what, body) => {
    await expectProblem(await deliver({ body }), 400, 'malformed-body');
  });

  it.each<[string, Record<string, unknown> | unknown[]]>([
    ['a list', []],
    ['an object without anything', {}],
    ['an action that is not known', payload(1, 'transferred')],
    ['an installation without a number', payload(1, 'created', { installation: { id: 'x' } })],
    ['an account without a name', payload(1, 'created', { installation: { account: { id: 1 } } })],
    ['no account', payload(1, 'created', { installation: { account: null } })],
    ['a time that is none', payload(1, 'created', { installation: { updated_at: 'yesterday' } })],
    ['a time that is too late for a date', payload(1, 'created', { installation: { updated_at: 9e15 } })],
    ['permissions that are no names', payload(1, 'created', { installation: { permissions: { issues: 1 } } })],
    ['a repository without a name', payload(1, 'created', { repositories: [{ id: 1 }] })],
  ])('is 400 with what is wrong when it is %s', async (_what, body) => {
    const { errors } = await expectProblem(await deliver({ body: JSON.stringify(body) }), 400, 'invalid');
    expect(errors?.length).toBeGreaterThan(0);
  });

  it('is 400 without the name of the event, or without its id', async () => {
    const body = JSON.stringify(payload(nextNumber(), 'created'));
    await expectInvalid(await deliver({ event: '', body }), 'X-GitHub-Event', 'must be the name of an event');
    await expectInvalid(await deliver({ delivery: '', body }), 'X-GitHub-Delivery', 'must be the id of the delivery');
    await expectInvalid(
      await deliver({ delivery: 'x'.repeat(101), body }),
      'X-GitHub-Delivery',
      'must be the id of the delivery',
    );
  });

  it('is 400 when the payload is that of another event', async () => {
    const body = JSON.stringify(payload(nextNumber(), 'created'));
    await expectProblem(await deliver({ event: 'installation_repositories', body }), 400, 'invalid');
  });

  it('is 413 over 1 MiB, though it is signed, and also when its length is not told', async () => {
    const body = new Uint8Array(1024 * 1024 + 1).fill(0x20);
    await expectProblem(await deliver({ body }), 413, 'body-too-large');
    const streamed = await configured({}, WEBHOOK, {
      method: 'POST',
      body: new Response(body).body,
      headers: { 'Content-Type': 'application/json', 'X-Hub-Signature-256': await sign(body, secret) },
    });
    await expectProblem(streamed, 413, 'body-too-large');
  });

  it('is 415 as a form, which GitHub can be set to send', async () => {
    const response = await deliver({
      body: 'payload=%7B%7D',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    });
    await expectProblem(response, 415, 'unsupported-media-type');
  });

  it('takes a body of 1 MiB with thousands of repositories', async () => {
    const number = nextNumber();
    const repositories = Array.from({ length: 7_000 }, (_, index) =>
      repository(index + 1, `octo-org/repository-${index}`),
    );
    await outcome(payload(number, 'created', { repositories }));
    const installation = await stored(number);
    expect(installation.repositories).toHaveLength(5_000);
    expect(installation.isTruncated).toBe(true);
  });
});
