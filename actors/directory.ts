import { shardOf } from '../events/spread.ts';
import type { ColdMonitor } from './cold-history.ts';
import type { DirectoryObject } from './directory-object.ts';
import type { Monitor } from './outbox.ts';

/** Directory objects among which the streams are spread, so that no single one sees every creation. */
const SHARDS = 16;

/** The directory as those who use it see it: all shards as one. */
export class Directory {
  readonly #namespace: DurableObjectNamespace<DirectoryObject>;

  constructor(namespace: DurableObjectNamespace<DirectoryObject>) {
    this.#namespace = namespace;
  }

  /** Adds a stream, before its first event is written. */
  async register(stream: string): Promise<void> {
    await this.#shard(shardOf(stream, SHARDS)).register(stream);
  }

  /** Whether a stream was registered. Asking this makes no object, as asking the stream's own would. */
  has(stream: string): Promise<boolean> {
    return this.#shard(shardOf(stream, SHARDS)).has(stream);
  }

  /** The objects of all shards, in order. */
  shards(): DurableObjectStub<DirectoryObject>[] {
    return Array.from({ length: SHARDS }, (_, shard) => this.#shard(shard));
  }

  /** Reports what an outbox says to the shard of its stream. */
  monitor(): Monitor {
    return {
      behind: async (stream, cursors) => this.#shard(shardOf(stream, SHARDS)).noteBehind(stream, { ...cursors }),
      caughtUp: async (stream) => this.#shard(shardOf(stream, SHARDS)).noteCaughtUp(stream),
    };
  }

  /** Reports what an object says of its cold history to the shard of its stream. */
  coldMonitor(): ColdMonitor {
    return {
      noteCold: async (stream, totals, damage) =>
        this.#shard(shardOf(stream, SHARDS)).noteCold(stream, { ...totals }, damage && { ...damage }),
    };
  }

  #shard(shard: number): DurableObjectStub<DirectoryObject> {
    return this.#namespace.get(this.#namespace.idFromName(`directory/${shard}`));
  }
}
