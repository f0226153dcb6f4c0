import { Directory } from '../../actors/directory.ts';
import type { Sink } from '../../actors/outbox.ts';
import type { WebhookState } from '../../actors/webhook.ts';
import { WebhookActor } from '../../actors/webhook-object.ts';
import { WebhookRegistryActor } from '../../actors/webhook-registry-object.ts';
import { feedEnd } from '../../projections/feed.ts';
import { projectWebhook, readersOf } from '../../projections/webhooks.ts';
import { coldPorts } from '../cold/cold.ts';
import { auditSink } from '../delivery/audit-sink.ts';
import type { Env } from '../env.ts';
import { handInTo } from '../log/log.ts';
import { messageOf } from './message.ts';
import { postMessage, reseal } from './post.ts';
import { eventsFor, newsFor, ownerStatus } from './reading.ts';
import { webhookRegistry } from './registry.ts';

/** How far lists may lag behind a webhook that changes all the time, in milliseconds; hardly any does. */
const LIST_INTERVAL_MS = 1_000;

/** Positions of the feed of which it is found out who may read them; with more, everybody looks for themselves. */
const NEWS_MAX = 2_000;

/** The sink that has a webhook in lists, and in the registry, which wakes it while it is active. */
function webhookSink(env: Env): Sink<WebhookState> {
  return {
    destinations: ['d1', 'registry'],
    intervalMs: LIST_INTERVAL_MS,
    isReady: (_destination, state) => state !== null,
    async deliver({ state, version, destinations }) {
      if (state !== null && destinations.includes('d1')) await projectWebhook(env.DB, state);
      if (state !== null && destinations.includes('registry')) {
        await webhookRegistry(env).note({ id: state.id, owner: state.owner }, state.status);
      }
      return { confirmed: version };
    },
  };
}

/** One webhook. */
export class WebhookObject extends WebhookActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, {
      sinks: [webhookSink(env), auditSink(env)],
      monitor: new Directory(env.DIRECTORY).monitor(),
      log: handInTo(env),
      cold: coldPorts(env),
      ownerStatus: (owner) => ownerStatus(env, owner),
      news: (webhook, after, limit, span) => newsFor(env, webhook, after, limit, span),
      events: (webhook, contextId, after, limit) => eventsFor(env, webhook, contextId, after, limit),
      messageOf,
      post: (message) => postMessage(env, message),
      feedEnd: () => feedEnd(env.DB),
      reseal: (webhook, secret) => reseal(env, webhook, secret),
    });
  }
}

/** Wakes them. */
export class WebhookRegistryObject extends WebhookRegistryActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, {
      feedEnd: () => feedEnd(env.DB),
      readersOf: async (after, upTo) => (upTo - after > NEWS_MAX ? null : readersOf(env.DB, after, upTo)),
      poke: (id) => env.WEBHOOKS.get(env.WEBHOOKS.idFromName(id)).poke(),
    });
  }
}
