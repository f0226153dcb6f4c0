import { describe, expect, it } from 'vitest';
import { relationToWebhook } from '../../actors/access.ts';
import { webhookDecider } from '../../actors/webhook.ts';
import { nextAttemptAt } from '../../actors/webhook-retry.ts';
import { type WebhookEvent, webhookEvents } from '../../events/webhook.ts';
import { specify } from '../support/given.ts';
import { ADMINISTRATOR, principalOf } from '../support/principals.ts';

const { given } = specify(webhookDecider, 'webhook/whk_1');

const ann = principalOf('act_ann');
const limited = principalOf('act_ann', { contexts: ['ctx_a', 'ctx_b'] });
const terms = { url: 'https://hooks.example.com/', description: '', types: null, contexts: null, actors: null };
const create = { type: 'create', terms, secret: 'whs_1', expiresAt: null } as const;
const created: WebhookEvent = {
  type: 'webhook_created',
  data: { owner: 'act_ann', ...terms, secret: 'whs_1', expiresAt: null },
};
const rotated = (secret: string, othersEndAt: string): WebhookEvent => ({
  type: 'webhook_secret_rotated',
  data: { secret, othersEndAt },
});
const changing = { type: 'change', credentialEndsAt: null } as const;
const disabled: WebhookEvent = { type: 'webhook_disabled', data: { reason: 'failing', detail: 'HTTP 500' } };
const enabled: WebhookEvent = { type: 'webhook_enabled', data: { from: 'now', expiresAt: null } };
const deleted: WebhookEvent = { type: 'webhook_deleted', data: {} };

describe('a webhook', () => {
  it('is made in one’s own name, active, with one secret', () => {
    given([]).when(create, ann).yields([created]);
    expect(given([created]).state).toMatchObject({
      owner: 'act_ann',
      status: 'active',
      disabled: null,
      secrets: [{ id: 'whs_1', endsAt: null }],
    });
  });

  it('is good for no more contexts than the credential that makes or changes it', () => {
    const narrow = { ...create, terms: { ...terms, contexts: ['ctx_a'] } };
    given([])
      .when(narrow, limited)
      .yields([{ type: 'webhook_created', data: { ...created.data, contexts: ['ctx_a'] } as never }]);
    given([]).when(create, limited).isRefused('forbidden');
    given([])
      .when({ ...create, terms: { ...terms, contexts: ['ctx_c'] } }, limited)
      .isRefused('forbidden');
    given([created])
      .when({ ...changing, change: { contexts: ['ctx_a', 'ctx_c'] } }, limited)
      .isRefused('forbidden');
    given([created])
      .when({ ...changing, change: { contexts: null } }, limited)
      .isRefused('forbidden');
  });

  it('changes where something is different', () => {
    const change = { description: 'chat', types: ['context_updated'] };
    given([created])
      .when({ ...changing, change }, ann)
      .yields([{ type: 'webhook_changed', data: change }]);
    given([created])
      .when({ ...changing, change: { url: terms.url, types: null } }, ann)
      .yieldsNothing();
  });

  it('ends no later than a credential that has said where it goes, what of, or by which secret it is known', () => {
    const [soon, later] = ['2026-02-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z'];
    const withEnd = (expiresAt: string): WebhookEvent => ({
      ...created,
      data: { ...created.data, expiresAt } as never,
    });
    const url = 'https://elsewhere.example.com/';
    for (const change of [{ url }, { contexts: ['ctx_a'] }]) {
      const command = { type: 'change', change, credentialEndsAt: soon } as const;
      const ended: WebhookEvent = { type: 'webhook_changed', data: { ...change, expiresAt: soon } };
      for (const before of [created, withEnd(later)]) given([before]).when(command, ann).yields([ended]);
      given([withEnd(soon)])
        .when({ ...command, credentialEndsAt: later }, ann)
        .yields([{ type: 'webhook_changed', data: change }]);
      expect(given([created, ended]).state?.expiresAt).toBe(soon);
    }
    given([created])
      .when({ type: 'change', change: { description: 'chat' }, credentialEndsAt: soon }, ann)
      .yields([{ type: 'webhook_changed', data: { description: 'chat' } }]);
    const rotate = {
      type: 'rotateSecret',
      secret: 'whs_2',
      othersEndAt: later,
      at: '',
      credentialEndsAt: soon,
    } as const;
    const ended: WebhookEvent = {
      type: 'webhook_secret_rotated',
      data: { secret: 'whs_2', othersEndAt: later, expiresAt: soon },
    };
    given([created]).when(rotate, ann).yields([ended]);
    expect(given([created, ended]).state?.expiresAt).toBe(soon);
    expect(given([withEnd(soon), rotated('whs_2', later)]).state?.expiresAt).toBe(soon);
  });

  it('has at most three secrets that sign', () => {
    const late = '2026-02-01T00:00:00.000Z';
    const three = [created, rotated('whs_2', late), rotated('whs_3', late)];
    const rotate = {
      type: 'rotateSecret',
      secret: 'whs_4',
      othersEndAt: late,
      at: '2026-01-15T00:00:00.000Z',
      credentialEndsAt: null,
    } as const;
    given(three).when(rotate, ann).isRefused('limit-reached');
    given(three)
      .when({ ...rotate, at: '2026-02-02T00:00:00.000Z' }, ann)
      .yields([rotated('whs_4', late)]);
    const early = rotated('whs_3', '2026-01-01T00:00:00.000Z');
    expect(given([created, rotated('whs_2', late), early]).state?.secrets.map(({ id }) => id)).toEqual(['whs_3']);
  });

  it('is disabled once, and enabled once', () => {
    const end = { reason: 'failing', detail: 'HTTP 500' } as const;
    given([created]).when({ type: 'recordDelivery', end }, ann).yields([disabled]);
    given([created, disabled]).when({ type: 'recordDelivery', end }, ann).yieldsNothing();
    given([created, disabled]).when({ type: 'pause' }, ann).yieldsNothing();
    given([created, disabled]).when({ type: 'enable', from: 'now', expiresAt: null }, ann).yields([enabled]);
    given([created]).when({ type: 'enable', from: 'now', expiresAt: null }, ann).yieldsNothing();
    expect(given([created, disabled, enabled]).state).toMatchObject({ status: 'active', disabled: null });
  });

  it('replays only while it is enabled, and not while ten others wait', () => {
    const range = { after: 1, upTo: 5, from: null, to: null };
    const replay = { type: 'replay', waiting: 9, ...range } as const;
    given([created])
      .when(replay, ann)
      .yields([{ type: 'webhook_replay_requested', data: range }]);
    given([created, disabled]).when(replay, ann).isRefused('conflict');
    given([created])
      .when({ ...replay, waiting: 10 }, ann)
      .isRefused('limit-reached');
  });

  it('that was deleted is not there', () => {
    given([created]).when({ type: 'delete' }, ann).yields([deleted]);
    for (const type of ['delete', 'pause', 'test'] as const) {
      given([created, deleted]).when({ type }, ann).isRefused('not-found');
      given([]).when({ type }, ann).isRefused('not-found');
    }
    expect(given([created, deleted]).state).toMatchObject({ status: 'deleted', secrets: [] });
  });

  it('says nothing of a secret in any event but its id', () => {
    for (const [type, schema] of Object.entries(webhookEvents)) {
      const names = Object.keys(schema.shape).filter((name) => /secret|key|hash|seal/i.test(name));
      expect([type, names]).toEqual([type, type.includes('created') || type.includes('rotated') ? ['secret'] : []]);
    }
  });
});

describe('what somebody is to a webhook', () => {
  const webhook = { owner: 'act_ann', status: 'active', contexts: null };
  const acting = principalOf('act_ann', { subject: 'act_bob', chain: [{ id: 'dlg_1', by: 'act_bob' }] });

  it.each([
    ['its owner', ann, webhook, 'self'],
    ['its owner with a key for other contexts', limited, webhook, null],
    ['its owner with a key for more contexts', limited, { ...webhook, contexts: ['ctx_a'] }, 'self'],
    ['its owner with a key for fewer', limited, { ...webhook, contexts: ['ctx_a', 'ctx_c'] }, null],
    ['its owner who acts for somebody else', acting, webhook, 'acting'],
    ['somebody else', principalOf('act_bob'), webhook, null],
    ['an administrator', ADMINISTRATOR, webhook, 'administrator'],
    ['an administrator with a limited key', { ...ADMINISTRATOR, contexts: ['ctx_a'] }, webhook, null],
    ['its owner, when it was deleted', ann, { ...webhook, status: 'deleted' }, null],
    ['who makes one', ann, null, 'self'],
    ['who would make one for somebody else', acting, null, 'acting'],
  ])('%s', (_who, principal, of, relation) => {
    expect(relationToWebhook(principal, of)).toBe(relation);
  });
});

describe('the schedule', () => {
  const MINUTE = 60_000;
  const HOUR = 60 * MINUTE;
  const waits = [5_000, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR];

  it('is that of Standard Webhooks for more than a day, a little shortened by chance, and then over', () => {
    for (const [index, wait] of waits.entries()) {
      const times = Array.from({ length: 50 }, () => nextAttemptAt(index + 1, null, 1_000) ?? 0);
      for (const time of times) {
        expect(time - 1_000).toBeLessThanOrEqual(wait);
        expect(time - 1_000).toBeGreaterThanOrEqual(wait * 0.8);
      }
      expect(new Set(times).size).toBeGreaterThan(1);
    }
    expect(nextAttemptAt(waits.length + 1, null, 1_000)).toBeNull();
    expect(waits.reduce((sum, wait) => sum + wait, 0) * 0.8).toBeGreaterThan(24 * HOUR);
  });

  it('waits for as long as the receiver asks, up to a day', () => {
    expect(nextAttemptAt(1, HOUR, 0)).toBe(HOUR);
    expect(nextAttemptAt(1, 1, 0)).toBeGreaterThan(3_000);
    expect(nextAttemptAt(1, 1_000 * HOUR, 0)).toBe(24 * HOUR);
    expect(nextAttemptAt(8, HOUR, 0)).toBeNull();
  });
});
