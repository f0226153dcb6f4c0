import type { WebhookEvent } from '../events/webhook.ts';
import type { Decider, Refusal } from './decider.ts';
import type { Principal } from './principal.ts';

/** Secrets that sign at the same time: the present one and those that it has replaced. */
const SECRETS_MAX = 3;

/** Replays that wait at the same time. */
const REPLAYS_MAX = 10;

type Data<Type extends WebhookEvent['type']> = Extract<WebhookEvent, { type: Type }>['data'];

/** What a webhook is asked to be. */
type WebhookTerms = Omit<Data<'webhook_created'>, 'owner' | 'secret' | 'expiresAt'>;

/** A secret, by its id. It signs until `endsAt`, or, when that is null, until it is replaced. */
type WebhookSecret = {
  readonly id: string;
  readonly createdAt: string;
  readonly endsAt: string | null;
};

/** A webhook. The JSON that clients see. */
export type Webhook = WebhookTerms & {
  readonly id: string;
  /** The actor whose rights it reads with. */
  readonly owner: string;
  readonly status: 'active' | 'disabled' | 'deleted';
  /** Why and when it was disabled; null while it is not. */
  readonly disabled: (Data<'webhook_disabled'> & { readonly at: string }) | null;
  /** Oldest first. */
  readonly secrets: readonly WebhookSecret[];
  /**
   * When the first of the credentials ends that it was made or enabled with and has got its address, its contexts or a
   * secret by since; null when none does.
   */
  readonly expiresAt: string | null;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
};

/** Null until it was made. */
export type WebhookState = Webhook | null;

/** What can be asked of a webhook. */
export type WebhookCommand =
  | {
      readonly type: 'create';
      readonly terms: WebhookTerms;
      readonly secret: string;
      readonly expiresAt: string | null;
    }
  | {
      readonly type: 'change';
      readonly change: Omit<Data<'webhook_changed'>, 'expiresAt'>;
      readonly credentialEndsAt: string | null;
    }
  | {
      readonly type: 'rotateSecret';
      readonly secret: string;
      readonly othersEndAt: string;
      /** When, in ISO 8601: what signs no more by then is not counted. */
      readonly at: string;
      readonly credentialEndsAt: string | null;
    }
  | { readonly type: 'enable'; readonly from: Data<'webhook_enabled'>['from']; readonly expiresAt: string | null }
  | { readonly type: 'pause' }
  /** Sends nothing but a ping, which is no event. */
  | { readonly type: 'test' }
  /** `waiting`: replays that are not done, as the webhook's object counts them. */
  | ({ readonly type: 'replay'; readonly waiting: number } & Data<'webhook_replay_requested'>)
  | { readonly type: 'delete' }
  /** What the delivery reports: nothing, or that it has to end. */
  | { readonly type: 'recordDelivery'; readonly end: DeliveryEnd };

/** Why nothing more is sent. */
export type DeliveryEnd = Data<'webhook_disabled'>;

const NOT_FOUND: Refusal = { refused: 'not-found', detail: 'There is no webhook with this id.' };

/** What a webhook does. Its deliveries are no events: they are kept beside the log (`webhook-delivery.ts`). */
export const webhookDecider: Decider<WebhookState, WebhookCommand, WebhookEvent> = {
  initialState: null,

  decide(command, state, by) {
    if (command.type === 'create') return create(command, state, by);
    if (state === null || state.status === 'deleted') return NOT_FOUND;
    switch (command.type) {
      case 'change':
        return change(command, state, by);
      case 'rotateSecret': {
        const { secret, othersEndAt, at } = command;
        const living = state.secrets.filter(({ endsAt }) => endsAt === null || endsAt > at);
        if (living.length >= SECRETS_MAX) {
          const detail = `${SECRETS_MAX} secrets sign at the same time at most. Wait until one of them has ended.`;
          return { refused: 'limit-reached', detail };
        }
        const ending = endingWith(command.credentialEndsAt, state);
        return [{ type: 'webhook_secret_rotated', data: { secret, othersEndAt, ...ending } }];
      }
      case 'enable':
        if (state.status === 'active') return [];
        return [{ type: 'webhook_enabled', data: { from: command.from, expiresAt: command.expiresAt } }];
      case 'pause':
        return disable({ reason: 'requested', detail: null }, state);
      case 'test':
        return [];
      case 'replay': {
        const { type: _type, waiting, ...data } = command;
        if (state.status === 'disabled') {
          return { refused: 'conflict', detail: 'It is disabled. Enable it first: POST …/enable.' };
        }
        if (waiting >= REPLAYS_MAX) {
          const detail = `${REPLAYS_MAX} replays are waiting. Ask again when one of them is done.`;
          return { refused: 'limit-reached', detail };
        }
        return [{ type: 'webhook_replay_requested', data }];
      }
      case 'delete':
        return [{ type: 'webhook_deleted', data: {} }];
      case 'recordDelivery':
        return disable(command.end, state);
      default:
        return command satisfies never;
    }
  },

  evolve(state, event) {
    if (event.type === 'webhook_created') {
      const { secret, ...rest } = event.data;
      return {
        id: event.stream.slice(event.stream.indexOf('/') + 1),
        ...rest,
        status: 'active',
        disabled: null,
        secrets: [{ id: secret, createdAt: event.time, endsAt: null }],
        version: event.version,
        createdAt: event.time,
        updatedAt: event.time,
      };
    }
    if (state === null) throw new Error(`${event.type} at the start of ${event.stream}`);
    const moved = { ...state, version: event.version, updatedAt: event.time };
    switch (event.type) {
      case 'webhook_changed':
        return { ...moved, ...event.data };
      case 'webhook_secret_rotated': {
        const { secret, othersEndAt, expiresAt = state.expiresAt } = event.data;
        const others = state.secrets
          .map((each) => ({ ...each, endsAt: earlier(each.endsAt, othersEndAt) }))
          .filter(({ endsAt }) => endsAt > event.time);
        return { ...moved, expiresAt, secrets: [...others, { id: secret, createdAt: event.time, endsAt: null }] };
      }
      case 'webhook_disabled':
        return { ...moved, status: 'disabled', disabled: { ...event.data, at: event.time } };
      case 'webhook_enabled':
        return { ...moved, status: 'active', disabled: null, expiresAt: event.data.expiresAt };
      case 'webhook_replay_requested':
        return moved;
      case 'webhook_deleted':
        return { ...moved, status: 'deleted', secrets: [] };
      default:
        return event satisfies never;
    }
  },
};

function create(
  { terms, secret, expiresAt }: Extract<WebhookCommand, { type: 'create' }>,
  state: WebhookState,
  by: Principal,
): readonly WebhookEvent[] | Refusal {
  if (state !== null) return { refused: 'already-exists', detail: 'There is a webhook with this id already.' };
  const excess = tooMany(terms.contexts, by);
  return excess ?? [{ type: 'webhook_created', data: { owner: by.actor, ...terms, secret, expiresAt } }];
}

function change(
  { change: wanted, credentialEndsAt }: Extract<WebhookCommand, { type: 'change' }>,
  state: Webhook,
  by: Principal,
): readonly WebhookEvent[] | Refusal {
  const excess = wanted.contexts === undefined ? null : tooMany(wanted.contexts, by);
  if (excess) return excess;
  const before: Readonly<Record<string, unknown>> = state;
  const changed = Object.entries(wanted)
    .filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name]))
    .map(([name]) => name);
  if (changed.length === 0) return [];
  const ending = changed.includes('url') || changed.includes('contexts') ? endingWith(credentialEndsAt, state) : {};
  return [{ type: 'webhook_changed', data: { ...wanted, ...ending } }];
}

/** Has it end no later than the credential that says where it goes, what of, or by which secret it is known. */
function endingWith(credentialEndsAt: string | null, { expiresAt }: Webhook): { readonly expiresAt?: string } {
  if (credentialEndsAt === null || (expiresAt !== null && expiresAt <= credentialEndsAt)) return {};
  return { expiresAt: credentialEndsAt };
}

function disable(data: DeliveryEnd, { status }: Webhook): readonly WebhookEvent[] {
  return status === 'active' ? [{ type: 'webhook_disabled', data }] : [];
}

/** What a credential makes is good for no more contexts than it is. */
function tooMany(contexts: readonly string[] | null, by: Principal): Refusal | null {
  if (by.contexts === null) return null;
  if (contexts?.every((context) => by.contexts?.includes(context))) return null;
  const message = 'must not name contexts that your own credential is not good for';
  return { refused: 'forbidden', detail: `/contexts ${message}.`, errors: [{ pointer: '/contexts', message }] };
}

function earlier(one: string | null, other: string): string {
  return one !== null && one < other ? one : other;
}
