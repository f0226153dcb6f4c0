import { type WebhookEvent, webhookEvents, webhookUpcasters } from '../events/webhook.ts';
import { type Action, relationToWebhook } from './access.ts';
import { isRefusal } from './decider.ts';
import { EventSourcedObject } from './event-sourced-object.ts';
import type { CommandReply, CommandRequest, Ports, RefusalReply, View } from './messages.ts';
import { type Principal, SYSTEM } from './principal.ts';
import type { Process } from './process.ts';
import type { StreamType } from './stream-type.ts';
import { type Webhook, type WebhookCommand, type WebhookState, webhookDecider } from './webhook.ts';
import type { Attempt } from './webhook-attempts.ts';
import { WebhookDelivery } from './webhook-delivery.ts';
import type { DeliveryPorts } from './webhook-ports.ts';
import type { SealedSecret } from './webhook-secrets.ts';

/** What each command is called where it is decided who may have it carried out. */
const ACTION_OF: Readonly<Record<WebhookCommand['type'], Action>> = {
  create: 'webhook.create',
  change: 'webhook.change',
  rotateSecret: 'webhook.change',
  enable: 'webhook.change',
  pause: 'webhook.change',
  test: 'webhook.change',
  replay: 'webhook.change',
  delete: 'webhook.delete',
  recordDelivery: 'webhook.record',
};

const webhookStream: StreamType<WebhookState, WebhookCommand, WebhookEvent> = {
  name: 'webhook',
  reading: { read: 'webhook.read', history: 'webhook.read', watch: 'webhook.read' },
  actionOf: ({ type }) => ACTION_OF[type],
  relation: (principal, _id, webhook) => relationToWebhook(principal, webhook),
  changesRelations: () => false,
  decider: webhookDecider,
  events: webhookEvents,
  upcasters: webhookUpcasters,
  stateSchema: 1,
  view: (webhook) => webhook,
  // What the delivery itself has led to.
  isBookkeeping: (type) => type === 'webhook_disabled' || type === 'webhook_replay_requested',
  isClosed: (webhook) => webhook?.status === 'deleted',
};

/** What a webhook's object is connected to. */
export interface WebhookPorts extends Ports<WebhookState, WebhookCommand>, DeliveryPorts {
  /** Where the feed ends now. */
  feedEnd(): Promise<number>;
  /** Encrypts a secret anew, under the present key; null when it cannot be opened. */
  reseal(webhook: string, secret: SealedSecret): Promise<SealedSecret | null>;
}

type Of<Type extends WebhookCommand['type']> = CommandRequest<Extract<WebhookCommand, { type: Type }>>;

/** What a ping led to. */
export interface Pinged {
  readonly version: number;
  /** Null when it could not be signed. */
  readonly attempt: Attempt | null;
}

function delivering(delivery: () => WebhookDelivery): Process<WebhookState, WebhookCommand> {
  return {
    next(webhook) {
      const dueAt = webhook?.status === 'active' ? delivery().nextAt(Date.now()) : null;
      if (dueAt === null) return null;
      return {
        dueAt,
        async perform() {
          const end = await delivery().step();
          return end && { type: 'recordDelivery', end };
        },
      };
    },
  };
}

/** One webhook: its stream, its secrets, and the delivery; `src/webhooks/objects.ts` connects it. */
export class WebhookActor extends EventSourcedObject<WebhookState, WebhookCommand, WebhookEvent, unknown> {
  readonly #ports: WebhookPorts;
  readonly #delivery: WebhookDelivery;

  constructor(context: DurableObjectState, env: unknown, ports: WebhookPorts) {
    let self: WebhookActor | null = null;
    const delivery = new WebhookDelivery(context.storage.sql, ports, () => self?.webhook() ?? null);
    super(context, env, webhookStream, { ...ports, process: delivering(() => delivery) });
    this.#ports = ports;
    this.#delivery = delivery;
    self = this;
  }

  /** Makes it, with the secret that its command names. It begins with what happens from now on. */
  async create(request: Of<'create'>, sealed: string): Promise<CommandReply | RefusalReply> {
    const begin = new Date().toISOString();
    const position = await this.#ports.feedEnd();
    const reply = await this.#withSecret(request, sealed);
    if (!isRefusal(reply)) this.#delivery.lanes.skipTo(position, begin);
    return reply;
  }

  /** Puts a new secret beside the present ones. */
  async rotateSecret(request: Of<'rotateSecret'>, sealed: string): Promise<CommandReply | RefusalReply> {
    // Before anything is written.
    return this.refuse(request.principal, 'webhook.change') ?? this.#withSecret(request, sealed);
  }

  /** The secret first: an event must not name one that was lost. */
  async #withSecret(request: Of<'create'> | Of<'rotateSecret'>, sealed: string): Promise<CommandReply | RefusalReply> {
    const { secret: id } = request.command;
    this.#delivery.secrets.put({ id, sealed });
    const reply = await this.execute(request);
    this.#delivery.secrets.keepOnly(this.#secretIds());
    return reply;
  }

  /** Has it go on, from where it stood or from now. */
  async enable(request: Of<'enable'>): Promise<CommandReply | RefusalReply> {
    const begin = new Date().toISOString();
    const position = request.command.from === 'now' ? await this.#ports.feedEnd() : null;
    const reply = await this.execute(request);
    if (isRefusal(reply) || !reply.changed) return reply;
    this.#delivery.lanes.retryAll();
    this.#delivery.replays.retryAll();
    if (position !== null) {
      this.#delivery.lanes.skipTo(position, begin);
      this.#delivery.replays.clear();
    }
    this.poke();
    return reply;
  }

  /** Has a part of the feed sent again. */
  async replay(request: Of<'replay'>): Promise<CommandReply | RefusalReply> {
    const waiting = this.#delivery.replays.open.length;
    const reply = await this.execute({ ...request, command: { ...request.command, waiting } });
    if (isRefusal(reply) || !reply.changed) return reply;
    const { after, upTo, from, to } = request.command;
    if (after < upTo) this.#delivery.replays.add({ position: after, upTo, from, to });
    this.poke();
    return reply;
  }

  /** Ends it for good; nothing of its secrets is kept. */
  async end(request: Of<'delete'>): Promise<CommandReply | RefusalReply> {
    const reply = await this.execute(request);
    if (!isRefusal(reply)) this.#delivery.secrets.keepOnly([]);
    return reply;
  }

  /** Sends a ping, also while it is disabled. */
  async ping(request: Of<'test'>, message: { id: string; body: string; type: string }): Promise<Pinged | RefusalReply> {
    const reply = await this.execute(request);
    const webhook = this.webhook();
    if (isRefusal(reply) || webhook === null) return isRefusal(reply) ? reply : { version: 0, attempt: null };
    const { id, body, type } = message;
    const about = { cause: 'test' as const, type, stream: null, version: null, attempt: 1 };
    const sent = await this.#delivery.send(webhook, { id, body }, about);
    return { version: webhook.version, attempt: sent?.attempt ?? null };
  }

  /** It, with what its delivery says of itself. */
  async read(principal: Principal): Promise<View | RefusalReply> {
    return this.#withDelivery(await this.view(principal));
  }

  /** The last attempts, newest first. */
  deliveries(principal: Principal, limit: number): readonly Attempt[] | RefusalReply {
    return this.refuse(principal, 'webhook.read') ?? this.#delivery.attempts.list(limit);
  }

  /** Says that there may be something new in the feed. */
  poke(): void {
    this.#delivery.wake();
    this.goOn();
  }

  override wake(): Promise<boolean> {
    this.#delivery.wake();
    return super.wake();
  }

  override flushOutbox(): Promise<boolean> {
    this.#delivery.wake();
    return super.flushOutbox();
  }

  /** Encrypts what signs anew, under the present key. @returns false when something cannot be opened */
  async resealSecrets(): Promise<boolean> {
    const webhook = this.webhook();
    if (webhook === null) return true;
    const secrets = this.#delivery.secrets.get(this.#secretIds());
    const anew = await Promise.all(secrets.map((secret) => this.#ports.reseal(webhook.id, secret)));
    // One that was replaced meanwhile must not come back.
    const ids = this.#secretIds();
    for (const secret of anew) if (secret !== null && ids.includes(secret.id)) this.#delivery.secrets.put(secret);
    return anew.every((secret) => secret !== null);
  }

  /** The webhook as it is now. */
  protected webhook(): Webhook | null {
    const looked = this.look(SYSTEM, 'webhook.read', (webhook) => webhook);
    return 'refused' in looked ? null : looked.seen;
  }

  #secretIds(): readonly string[] {
    return (this.webhook()?.secrets ?? []).map(({ id }) => id);
  }

  #withDelivery<Reply extends { readonly body: string }>(reply: Reply | RefusalReply): Reply | RefusalReply {
    if (isRefusal(reply)) return reply;
    const webhook: object = JSON.parse(reply.body);
    return { ...reply, body: JSON.stringify({ ...webhook, delivery: this.#delivery.status() }) };
  }
}
