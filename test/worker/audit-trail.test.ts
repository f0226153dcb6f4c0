import { listDurableObjectIds, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AuditRequest } from '../../actors/audit-object.ts';
import { DEFAULT_LIMITS } from '../../events/limits.ts';
import { type AuditQuery, listAudit, projectAudit } from '../../projections/audit.ts';
import { auditRowsOf } from '../../projections/audit-entries.ts';
import { as, expectJson, keyHolder, plain, startSession } from '../support/actors.ts';
import { api } from '../support/api.ts';
import { auditedLike, auditRows, auditTrail, payTrail } from '../support/audit.ts';
import { awayFromMidnight } from '../support/clock.ts';
import { delegate } from '../support/delegations.ts';
import { withClaims } from '../support/forge.ts';
import { principalOf } from '../support/principals.ts';
import { contextOf, idOf, person, share } from '../support/sharing.ts';

// What is said once a minute, and a flood, are counted anew with each day.
beforeAll(awayFromMidnight, 90_000);
afterEach(() => {
  vi.useRealTimers();
});

/** Every event of every audit stream, as it is kept. */
async function auditEvents(): Promise<string[]> {
  const ids = await listDurableObjectIds(env.AUDIT);
  const texts = await Promise.all(
    ids.map((id) =>
      runInDurableObject(env.AUDIT.get(id), (_object, { storage }) =>
        storage.sql.exec<{ event: string }>('SELECT event FROM events').toArray(),
      ),
    ),
  );
  return texts.flat().map(({ event }) => event);
}

/** Rebuilds all read models. */
async function rebuild(): Promise<void> {
  for (let cursor: string | null = ''; cursor !== null; ) {
    const query: string = cursor && `?cursor=${encodeURIComponent(cursor)}`;
    const answer: { nextCursor: string | null } = await expectJson(
      await api(`/v1/admin/rebuild${query}`, { method: 'POST' }),
      200,
    );
    cursor = answer.nextCursor;
  }
}

describe('the trail', () => {
  it('is the same to the row when it is made anew from the logs; no secret is in it', { timeout: 90_000 }, async () => {
    const [ada, ben] = [await person('Ada'), await person('Ben')];
    const path = await contextOf(ada, { metadata: { pin: 'a-secret-of-the-context' } });
    await share(ada, path, ben, 'viewer');
    const { token } = await delegate(ada.key, ben.id, ['contexts:read', 'contexts:write']);
    await as(token, path, { method: 'PATCH', json: { name: 'a-secret-name' } });
    const { accessToken, refreshToken, csrfToken = 'none' } = await startSession(ada.key);
    const forged = withClaims(accessToken, { sub: ben.id });
    const guess = `cck_${'0'.repeat(75)}`;
    for (const wrong of [forged, guess]) await plain(path, { headers: { Authorization: `Bearer ${wrong}` } });
    await plain(`${path}/events?ticket=a-secret-ticket`);
    await plain(`/v1/contexts/a-secret-in-the-path?q=a-secret-in-the-query`, { headers: { 'X-API-Key': guess } });
    const sent = { method: 'POST', headers: { 'Content-Type': 'application/json' } };
    for (let use = 0; use < 2; use++) {
      await plain('/v1/sessions/refresh', { ...sent, body: JSON.stringify({ refreshToken }) });
    }
    await ben.remove(path);
    await ada.call(`${path}/events`, { headers: { Accept: 'application/x-ndjson' } });
    const { key: revoked, id, keyId } = await keyHolder();
    await api(`/v1/actors/${id}/keys/${keyId}`, { method: 'DELETE' });
    await as(revoked, '/v1/contexts');
    await auditedLike(`actor=${id}&outcome=refused`, (entries) => expect(entries).toHaveLength(1));
    await auditedLike('outcome=refused', (entries) => {
      const reasons = entries.map(({ reason }) => reason);
      const all = ['token-signature', 'unknown', 'ticket-not-good', 'refresh-token-not-good', 'forbidden', 'revoked'];
      expect(reasons).toEqual(expect.arrayContaining(all));
    });
    const rows = await vi.waitFor(async () => {
      await payTrail();
      const before = await auditRows();
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(await auditRows()).toEqual(before);
      return before;
    });
    expect(rows.length).toBeGreaterThan(20);
    await env.DB.prepare("UPDATE audit SET actor = 'act_somebody_else' WHERE outcome = 'allowed'").run();
    await rebuild();
    expect(await auditRows()).toEqual(rows);

    const text = [JSON.stringify(rows), ...(await auditEvents()), JSON.stringify(await auditTrail())].join('\n');
    const secrets = [ada.key, ben.key, revoked, token, accessToken, refreshToken, csrfToken, forged, guess];
    for (const secret of secrets.filter((each) => each !== 'none')) {
      expect(text).not.toContain(secret);
      for (const part of secret.split('.').filter((each) => each.length > 30)) expect(text).not.toContain(part);
    }
    expect(text).not.toMatch(/a-secret/);
  });

  it('has who erased somebody, held a context, and set its rules and its retention; not one of the words', {
    timeout: 30_000,
  }, async () => {
    const [ada, ben] = [await person('Ada'), await person('Ben')];
    const administrator = String(env.BOOTSTRAP_API_KEY);
    const path = await contextOf(ada, { metadata: { customer: 'Hedwig Zwicknagel' } });
    await share(ada, path, ben);
    await expectJson(await ben.post(`${path}/notes`, { text: 'Hedwig was here' }), 201);
    const send = async (key: string, method: string, rest: string, json?: object, status = 200) =>
      expectJson(await as(key, `${path}/${rest}`, { method, ...(json && { json }) }), status);
    const rules = [{ pointer: '/metadata/customer', subject: 'customer-42' }];
    await send(ada.key, 'PUT', 'privacy', { rules });
    await send(ada.key, 'PUT', 'retention', { days: 30, after: 'change' });
    await send(administrator, 'PUT', 'legal-hold', { reason: 'Zwicknagel against Hedwig' });
    await send(ada.key, 'POST', 'erasures', { subject: 'customer-42' }, 409);
    await send(administrator, 'DELETE', 'legal-hold');
    await send(ada.key, 'DELETE', 'retention');
    await send(ada.key, 'POST', 'erasures', { subject: 'customer-42' }, 201);
    await expectJson(await ben.post('/v1/erasures', { subject: ben.id }), 201);

    const [own] = await auditedLike(`actor=${ben.id}&action=subject_erased`, (entries) => {
      expect(entries.map(({ stream }) => stream)).toEqual([`actor/${ben.id}`]);
      return entries;
    });
    const first = 'act_00000000000000000000000000';
    await auditedLike(`context=${idOf(path)}`, (entries) => {
      const told = entries
        .filter(({ action }) => /^(privacy_|legal_hold_|retention_|subject_)/.test(action))
        .toReversed();
      expect(told.map(({ action, actor }) => [action, actor])).toEqual([
        ['privacy_rules_set', ada.id],
        ['retention_set', ada.id],
        ['legal_hold_placed', first],
        ['legal_hold_lifted', first],
        ['retention_ended', ada.id],
        ['subject_erased', ada.id],
        ['subject_erased', 'act_system'],
      ]);
      // The service did it there for the one who asked for it, who is found by what the two have in common.
      const data = { fields: ['reason', 'subject'], about: [ben.id] };
      expect(told.at(-1)).toMatchObject({ correlationId: own?.['correlationId'], ...data });
    });
    expect(JSON.stringify(await auditRows())).not.toMatch(/Hedwig|Zwicknagel/);
  });

  it('has what is too much once a minute for each limit', async () => {
    const { id, key } = await keyHolder();
    const limits = { ...DEFAULT_LIMITS, endpoints: { readActor: { requests: 1, seconds: 60 } } };
    await expectJson(await api('/v1/admin/limits', { method: 'PUT', json: limits }), 200);
    const statuses: number[] = [];
    for (let n = 0; n < 5; n++) statuses.push((await as(key, '/v1/actors/me')).status);
    await expectJson(await api('/v1/admin/limits', { method: 'PUT', json: DEFAULT_LIMITS }), 200);
    expect(statuses).toEqual([200, 429, 429, 429, 429]);
    await as(key, '/v1/audit?context=x');
    await as(key, '/v1/admin/outbox');
    await auditedLike(`actor=${id}&outcome=refused`, (entries) => {
      expect(entries.map(({ reason, status, policy }) => [reason, status, policy])).toEqual([
        [expect.stringMatching(/scope|forbidden/), 403, null],
        ['quota-exceeded', 429, 'readActor'],
      ]);
    });
  });
});

describe('a flood of refusals', () => {
  const refusal = (caller: string): AuditRequest => ({
    id: '20261124_00',
    caller,
    once: null,
    principal: principalOf(caller),
    cause: { correlationId: 'flood', causationId: null, commandId: 'flood', origin: '192.0.2.0/24' },
    command: {
      type: 'access_refused',
      data: {
        operation: 'readContext',
        action: 'context.read',
        stream: null,
        presented: 'api-key',
        chain: [],
        status: 404,
        reason: 'hidden',
        policy: null,
      },
    },
  });

  it('fills no disk: sixty are recorded, then one entry a minute says how many more there were', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const stub = env.AUDIT.get(env.AUDIT.idFromName('20261124_00'));
    await runInDurableObject(stub, async (object, { storage }) => {
      const kept = () =>
        storage.sql
          .exec<{ type: string; actor: string; count: number | null }>(
            "SELECT type, event ->> '$.actor' AS actor, event ->> '$.data.count' AS count FROM events ORDER BY version",
          )
          .toArray();
      const send = async (caller: string, count: number) => {
        const sent = Promise.all(Array.from({ length: count }, () => object.record(refusal(caller))));
        // What comes together is written together, a moment later.
        await vi.advanceTimersByTimeAsync(10);
        await sent;
      };
      await send('act_flood', 500);
      await send('act_calm', 3);
      const recorded = kept();
      expect(recorded.filter(({ actor }) => actor === 'act_flood')).toHaveLength(60);
      expect(recorded.filter(({ actor }) => actor === 'act_calm')).toHaveLength(3);
      await vi.advanceTimersByTimeAsync(61_000);
      expect(kept().slice(recorded.length)).toEqual([{ type: 'refusals_counted', actor: 'act_flood', count: 440 }]);
      await send('act_flood', 2);
      expect(kept()).toHaveLength(recorded.length + 3);
    });
  });

  it('over the API: the first sixty, whoever else is refused meanwhile', async () => {
    const [ada, eve, mal] = [await person('Ada'), await person('Eve'), await person('Mal')];
    const path = await contextOf(ada);
    for (let round = 0; round < 8; round++) {
      const answers = await Promise.all(Array.from({ length: 10 }, () => mal.call(path)));
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]));
    }
    await eve.call(path);
    await auditedLike(`context=${idOf(path)}&actor=${eve.id}`, (entries) => expect(entries).toHaveLength(1));
    await auditedLike(`context=${idOf(path)}&actor=${mal.id}`, (entries) => expect(entries).toHaveLength(60));
  });
});

describe('the rows that an entry is in D1', () => {
  let entries = 0;

  /** The rows that the projection of an event writes, or of the last of several that are alike. */
  async function rowsOf(more: object, count = 1): Promise<number> {
    entries += 1;
    let total = 0;
    const db = new Proxy(env.DB, {
      get: (target, name) =>
        name !== 'prepare'
          ? Reflect.get(target, name)
          : (sql: string) => {
              const statement = target.prepare(sql);
              return {
                bind: (...values: unknown[]) => ({
                  run: async () => {
                    const result = await statement.bind(...values).run();
                    total += result.meta.rows_written;
                    return result;
                  },
                }),
              };
            },
    });
    const event = {
      id: `01M0000000000000000000${String(entries).padStart(3, '0')}0`,
      stream: 'context/ctx_x',
      version: 2,
      type: 'context_updated',
      schemaVersion: 1,
      time: '2026-11-24T00:00:00.000Z',
      actor: 'act_x',
      credential: 'key_x',
      correlationId: 'c',
      causationId: null,
      commandId: 'c',
      data: { name: 'x' },
      leafHash: '0'.repeat(64),
    };
    const events = [{ ...event, ...more }];
    for (let entry = 1; entry < count; entry++) {
      await projectAudit(env.DB, auditRowsOf(events));
      events.push({ ...event, ...more, id: `${event.id.slice(0, -1)}${entry}`, version: event.version + entry });
    }
    await projectAudit(db, auditRowsOf(events));
    return total;
  }

  it('are three for a change, two for what the service does, four for what is delegated or refused', async () => {
    expect(await rowsOf({})).toBe(3);
    expect(await rowsOf({ actor: 'act_system' })).toBe(2);
    expect(await rowsOf({ onBehalfOf: 'act_y' })).toBe(4);
    const refused = { stream: 'audit/20261124_00', type: 'access_refused' };
    expect(await rowsOf({ ...refused, data: { stream: 'context/ctx_x', action: 'context.read' } })).toBe(4);
  });

  it('are one for whatever is more of the same', async () => {
    expect(await rowsOf({}, 2)).toBe(1);
    expect(await rowsOf({ actor: 'act_system' }, 3)).toBe(1);
    expect(await rowsOf({ onBehalfOf: 'act_y' }, 9)).toBe(1);
  });
});

describe('what is asked of the trail most', () => {
  /** How SQLite goes about a question. */
  async function planOf(query: Partial<AuditQuery>): Promise<string> {
    const plan: string[] = [];
    const db = new Proxy(env.DB, {
      get: () => (sql: string) => ({
        bind: (...values: unknown[]) => ({
          all: async () => {
            const explained = env.DB.prepare(`EXPLAIN QUERY PLAN ${sql}`).bind(...values);
            const { results } = await explained.all<{ detail: string }>();
            plan.push(...results.map(({ detail }) => detail));
            return { results: [] };
          },
        }),
      }),
    });
    await listAudit(db, { among: null, withSystem: true, limit: 50, ...query });
    return plan.filter((step) => /^(SCAN|SEARCH) audit/.test(step)).join('; ');
  }

  const own = [{ actor: 'act_x' }, { subject: 'act_x' }, { stream: 'actor/act_x' }];
  it.each<[string, Partial<AuditQuery>, string[]]>([
    ['one’s own part', { among: own }, ['audit_actor', 'audit_subject', 'audit_stream']],
    ['what somebody was refused', { actor: 'act_x', outcome: 'refused' }, ['audit_actor']],
    ['what a key did', { actor: 'act_x', credential: 'key_x', withSystem: false }, ['audit_actor']],
    ['what is about a context', { stream: 'context/ctx_x', withSystem: false }, ['audit_stream']],
    ['what was refused', { outcome: 'refused', before: '01' }, ['audit_refused']],
    ['what was in a time', { from: '2026-11-24T10:00:00.000Z', before: '02' }, ['PRIMARY KEY']],
  ])('%s is found by an index', async (_, query, indexes) => {
    const plan = await planOf(query);
    expect(plan).not.toContain('SCAN');
    expect(plan.match(/audit_\w+|PRIMARY KEY/g)).toEqual(indexes);
  });
});
