import { bytesToHex } from '@noble/hashes/utils.js';
import { sha256Hex } from '../events/hash.ts';

/** How long a ticket can wait to be used: it is asked for right before a connection is opened. */
const TICKET_TTL_MS = 30_000;
/** Random bytes in a ticket. */
const TICKET_BYTES = 24;

/** Single-use tickets for connections that cannot carry an Authorization header. Only their hashes are stored. */
export class Tickets {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Makes a ticket for `actor`, and forgets the ones that expired. */
  issue(actor: string, now: number): { ticket: string; expiresAt: string } {
    const ticket = `tkt_${bytesToHex(crypto.getRandomValues(new Uint8Array(TICKET_BYTES)))}`;
    const expiresAt = now + TICKET_TTL_MS;
    this.#sql.exec('DELETE FROM tickets WHERE expires_at <= ?', now);
    this.#sql.exec(
      'INSERT INTO tickets (hash, actor, expires_at) VALUES (?, ?, ?)',
      sha256Hex(ticket),
      actor,
      expiresAt,
    );
    return { ticket, expiresAt: new Date(expiresAt).toISOString() };
  }

  /** Uses a ticket up. @returns its actor, null when it is unknown, used or expired */
  redeem(ticket: string, now: number): string | null {
    const [row] = this.#sql
      .exec<{ actor: string; expires_at: number }>(
        'DELETE FROM tickets WHERE hash = ? RETURNING actor, expires_at',
        sha256Hex(ticket),
      )
      .toArray();
    return row && row.expires_at > now ? row.actor : null;
  }
}
