import { bytesToHex } from '@noble/hashes/utils.js';
import { sha256Hex } from '../events/hash.ts';
import type { Principal } from './principal.ts';

/** How long a ticket can wait to be used: it is asked for right before a connection is opened. */
const TICKET_TTL_MS = 30_000;
/** Random bytes in a ticket. */
const TICKET_BYTES = 24;

/** Made when the first ticket is: most streams never have one. */
const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS watch_tickets (
  hash TEXT PRIMARY KEY, principal TEXT NOT NULL, expires_at INTEGER NOT NULL
) WITHOUT ROWID`;

/** Single-use tickets for connections that cannot carry an Authorization header. Only their hashes are stored. */
export class Tickets {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Makes a ticket for a principal, and forgets the ones that expired. */
  issue(principal: Principal, now: number): { ticket: string; expiresAt: string } {
    const ticket = `tkt_${bytesToHex(crypto.getRandomValues(new Uint8Array(TICKET_BYTES)))}`;
    const expiresAt = now + TICKET_TTL_MS;
    this.#sql.exec(CREATE_TABLE);
    this.#sql.exec('DELETE FROM watch_tickets WHERE expires_at <= ?', now);
    this.#sql.exec(
      'INSERT INTO watch_tickets (hash, principal, expires_at) VALUES (?, ?, ?)',
      sha256Hex(ticket),
      JSON.stringify(principal),
      expiresAt,
    );
    return { ticket, expiresAt: new Date(expiresAt).toISOString() };
  }

  /** Uses a ticket up. @returns whose it was, null when it is unknown, used or expired */
  redeem(ticket: string, now: number): Principal | null {
    this.#sql.exec(CREATE_TABLE);
    const [row] = this.#sql
      .exec<{ principal: string; expires_at: number }>(
        'DELETE FROM watch_tickets WHERE hash = ? RETURNING principal, expires_at',
        sha256Hex(ticket),
      )
      .toArray();
    return row && row.expires_at > now ? JSON.parse(row.principal) : null;
  }
}
