import { DurableObject } from 'cloudflare:workers';
import type { Webhook } from './webhook.ts';

/** How often the feed is looked at while there are webhooks, in milliseconds. */
const POLL_MS = 1_000;
/** Positions that a webhook may fall behind with which it has nothing to do, before it is woken to note that. */
const LEAP = 1_000;

/** Webhooks that are woken at the same time. */
const PARALLEL = 20;
/** How long a webhook is counted that was to be made and was not heard of, in milliseconds: it is as good as never made. */
const RESERVED_MS = 60 * 60_000;

/** A webhook. */
export interface RegisteredWebhook {
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
 * Knows the webhooks that there are, so that nobody has too many, and wakes the active ones whose owner may read something new. It looks at the end of the feed once a
 * second while there are any, and does nothing at all while there are none: contexts know nothing of webhooks, and what
 * webhooks cost depends on neither how many contexts there are nor how busy they are.
 */
export class WebhookRegistryActor extends DurableObject<unknown> {
  readonly #ports: RegistryPorts;
  /** Their owners by id. */
  readonly #active = new Map<string, string>();
  /** Up to where everybody was told; null after waking up, when nothing is known of that. */
  #seen: number | null = null;
  /** Those that are to be told, also because it went wrong before. */
  readonly #due = new Set<string>();
  /** Where each was told last. */
  readonly #toldAt = new Map<string, number>();

  constructor(context: DurableObjectState, env: unknown, ports: RegistryPorts) {
    super(context, env);
    this.#ports = ports;
    const { sql } = context.storage;
    sql.exec('CREATE TABLE IF NOT EXISTS active (id TEXT PRIMARY KEY, owner TEXT NOT NULL) WITHOUT ROWID');
    // `reserved_at` is null once it was made.
    sql.exec(`
      CREATE TABLE IF NOT EXISTS owned (id TEXT PRIMARY KEY, owner TEXT NOT NULL, reserved_at INTEGER) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS owned_by_owner ON owned (owner);
    `);
    for (const { id, owner } of sql.exec<{ id: string; owner: string }>('SELECT id, owner FROM active')) {
      this.#active.set(id, owner);
    }
  }

  /**
   * Counts a webhook that is about to be made.
   *
   * @returns false when its owner has as many as that already
   */
  reserve({ id, owner }: RegisteredWebhook, max: number): boolean {
    const { sql } = this.ctx.storage;
    const now = Date.now();
    sql.exec('DELETE FROM owned WHERE owner = ? AND reserved_at < ?', owner, now - RESERVED_MS);
    const others = sql.exec<{ n: number }>('SELECT count(*) AS n FROM owned WHERE owner = ? AND id <> ?', owner, id);
    if (others.one().n >= max) return false;
    sql.exec('INSERT OR IGNORE INTO owned (id, owner, reserved_at) VALUES (?, ?, ?)', id, owner, now);
    return true;
  }

  /** Counts one no more that was reserved, and was not made as far as its maker knows; one that was is counted on. */
  release(id: string): void {
    this.ctx.storage.sql.exec('DELETE FROM owned WHERE id = ? AND reserved_at IS NOT NULL', id);
  }

  /** Counts one no more that was deleted. */
  forget(id: string): void {
    this.ctx.storage.sql.exec('DELETE FROM owned WHERE id = ?', id);
  }

  /** Notes what a webhook is now. */
  async note({ id, owner }: RegisteredWebhook, status: Webhook['status']): Promise<void> {
    const { sql } = this.ctx.storage;
    if (status === 'deleted') this.forget(id);
    else {
      sql.exec(
        `INSERT INTO owned (id, owner) VALUES (?, ?)
         ON CONFLICT (id) DO UPDATE SET reserved_at = NULL WHERE reserved_at IS NOT NULL`,
        id,
        owner,
      );
    }
    if (status !== 'active') {
      if (!this.#active.delete(id)) return;
      this.#toldAt.delete(id);
      this.#due.delete(id);
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
    if (end !== after) {
      // A feed that ends earlier than it did was put back: everybody has to look for themselves.
      const readers = after === null || end < after ? null : await this.#ports.readersOf(after, end);
      for (const [id, owner] of this.#active) {
        const isDue = readers === null || readers.has(owner) || end - (this.#toldAt.get(id) ?? 0) >= LEAP;
        if (isDue) this.#due.add(id);
      }
      this.#seen = end;
    }
    const left = [...this.#due].values();
    const tell = async () => {
      for (const id of left) await this.#tell(id, end);
    };
    await Promise.all(Array.from({ length: PARALLEL }, tell));
  }

  /** Tells one, which is told again at the next look when it cannot be told now. */
  async #tell(id: string, end: number): Promise<void> {
    if (!this.#active.has(id)) return;
    this.#due.delete(id);
    try {
      await this.#ports.poke(id);
      this.#toldAt.set(id, end);
    } catch {
      if (this.#active.has(id)) this.#due.add(id);
    }
  }
}
