import { DurableObject } from 'cloudflare:workers';
import { sha256Hex } from '../events/hash.ts';
import type { EmbeddedEnv } from './env.ts';
import { isProblem } from './problem.ts';

/** Objects that a service's small records are spread over. The name of each record's object follows from its id. */
const PARTITIONS = 16;

/** The base of every service's object: its own SQLite, whose tables are made with the first row that is written. */
export abstract class SqliteObject extends DurableObject<EmbeddedEnv> {
  protected readonly sql: SqlStorage;
  #hasTables: boolean;

  constructor(context: DurableObjectState, env: EmbeddedEnv) {
    super(context, env);
    this.sql = context.storage.sql;
    // An object that was asked for something it never had keeps no file: so it must not make its tables for that.
    this.#hasTables = this.sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' LIMIT 1").toArray().length > 0;
  }

  /** The statements that make the tables. */
  protected abstract readonly tables: string;

  /** Whether anything was ever written here; while false there is no table to read from. */
  protected get hasTables(): boolean {
    return this.#hasTables;
  }

  /** Writes all that `work` writes; nothing when it throws or gives a problem. Makes the tables when there are none. */
  protected write<Result>(work: () => Result): Result {
    const outcome: { result?: Result } = {};
    try {
      return this.ctx.storage.transactionSync(() => {
        if (!this.#hasTables) this.sql.exec(this.tables);
        const result = work();
        outcome.result = result;
        // The runtime rolls back what throws.
        if (isProblem(result)) throw new Error(result.detail);
        this.#hasTables = true;
        return result;
      });
    } catch (error) {
      if (isProblem(outcome.result)) return outcome.result;
      throw error;
    }
  }
}

/** The one object of a service that has only one. */
export function single<Object extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<Object>,
): DurableObjectStub<Object> {
  return namespace.getByName('single');
}

/** The name of the object that keeps what belongs to `key`. */
export function partitionName(key: string): string {
  return `partition-${Number.parseInt(sha256Hex(key).slice(0, 8), 16) % PARTITIONS}`;
}

/** The object that keeps what belongs to `key`. */
export function partition<Object extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<Object>,
  key: string,
): DurableObjectStub<Object> {
  return namespace.getByName(partitionName(key));
}

/** All objects of a service that is spread over partitions. */
export function allPartitions<Object extends Rpc.DurableObjectBranded>(
  namespace: DurableObjectNamespace<Object>,
): DurableObjectStub<Object>[] {
  return Array.from({ length: PARTITIONS }, (_, index) => namespace.getByName(`partition-${index}`));
}
