import { DurableObject } from 'cloudflare:workers';

/** How often the feed is looked at while there are webhooks, in milliseconds. */
const POLL_MS = 1_000;
/** Positions that a webhook may fall behind with which it has nothing to do, before it is woken to note that. */
const LEAP = 1_000;

/** A webhook that is active. */
export interface ActiveWebhook {
  readonly id: string;
  readonly owner: string;
}

/** What the registry needs of the world. */
export interface RegistryPorts {
  /** The last position of the feed. */
  feedEnd(): Promise<number>;
  /** Who may read something of what is after one position and up to another; null when that is too much to find out. */
  readersOf(after: number, upTo: number): Promise<ReadonlySet<string> | null>;
  /** Says to a webhook that there may be something new. */
  poke(id: string): Promise<void>;
}

/**
 * Knows the active webhooks, and wakes those whose owner may read something new. It looks at the end of the feed once a
 * second while there are any, and does nothing at all while there are none: contexts know nothing of webhooks, and what
 * webhooks cost depends on neither how many contexts there are nor how busy they are.
 */
export class WebhookRegistryActor extends DurableObject<unknown> {
  readonly #ports: RegistryPorts;
  /** Their owners by id. */
  readonly #active = new Map<string, string>();
  /** Up to where everybody was told; null after waking up, when nothing is known of that. */
  #seen: number | null = null;
  /** Where each was told last. */
  readonly #toldAt = new Map<string, number>();

  constructor(context: DurableObjectState, env: unknown, ports: RegistryPorts) {
    super(context, env);
    this.#ports = ports;
    const { sql } = context.storage;
    sql.exec('CREATE TABLE IF NOT EXISTS active (id TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID');
    for (const { id, owner } of sql.exec<{ id: string; owner: string }>('SELECT id, owner FROM active')) {
      this.#active.set(id, owner);
    }
  }

  /** Takes what a webhook is now. */
  async note({ id, owner }: ActiveWebhook, isActive: boolean): Promise<void> {
    const { sql } = this.ctx.storage;
    if (!isActive) {
      if (!this.#active.delete(id)) return;
      this.#toldAt.delete(id);
      sql.exec('DELETE FROM active WHERE id = ?', id);
      return;
    }
    if (this.#active.get(id) !== owner) {
      sql.exec('INSERT OR REPLACE INTO active (id, owner) VALUES (?, ?)', id, owner);
      this.#active.set(id, owner);
    }
    await this.start();
  }

  /** Sees that it looks, as long as there is anything to look for. Called every minute, should an alarm be lost. */
  async start(): Promise<void> {
    if (this.#active.size === 0) return;
    const now = Date.now();
    const at = await this.ctx.storage.getAlarm();
    // One that is further away was set before the clock was put back.
    if (at === null || at > now + POLL_MS) await this.ctx.storage.setAlarm(now + POLL_MS);
  }

  override async alarm(): Promise<void> {
    try {
      await this.#look();
    } catch (error) {
      console.error(JSON.stringify({ level: 'error', message: 'webhooks could not be woken', error: String(error) }));
    }
    if (this.#active.size > 0) await this.ctx.storage.setAlarm(Date.now() + POLL_MS);
  }

  async #look(): Promise<void> {
    if (this.#active.size === 0) return;
    const end = await this.#ports.feedEnd();
    const after = this.#seen;
    if (end === after) return;
    // A feed that ends earlier than it did was put back: everybody has to look for themselves.
    const readers = after === null || end < after ? null : await this.#ports.readersOf(after, end);
    const due = [...this.#active].filter(
      ([id, owner]) => readers === null || readers.has(owner) || end - (this.#toldAt.get(id) ?? 0) >= LEAP,
    );
    this.#seen = end;
    await Promise.all(due.map(([id]) => this.#tell(id, end)));
  }

  async #tell(id: string, end: number): Promise<void> {
    try {
      await this.#ports.poke(id);
      this.#toldAt.set(id, end);
    } catch {
      // It is told at the next look.
      this.#seen = null;
    }
  }
}
