// The product with a few more methods on its object, for what cannot be seen from outside: rows written, eviction, and
// the bare form of a replay over the very same rows. The product's own code runs as it is.
import { SYSTEM } from '../../actors/principal.ts';
import worker, {
  TransparencyLogObject as Log,
  ContextObject as Product,
  TransparencyShardObject as Shard,
} from '../../src/worker.ts';
import { countedEnv, isCounting, Meter, used } from './counting.mjs';

export * from '../../src/worker.ts';

/** An alarm that is further off does not belong to the last change. */
const SOON_MS = 60_000;
/** Changes that are applied in one turn while a history is made. */
const SEED_BATCH = 500;
/** Characters of a chunk of the bare replay: as many as in the product's. */
const CHUNK_CHARS = 256 * 1024;

/** Rows by object, outside of the objects: one that is idle for ten seconds is evicted, and would forget its count. */
const rowsOf = new Map();

/**
 * Counts the rows that an object writes from now on. A statement that returns rows is kept until it is
 * counted, because it has written all of its own only when it was read to its end. An alarm is a row each time it is set.
 */
function countRows({ id, storage }) {
  const name = id.toString();
  const add = (rows) => rowsOf.set(name, (rowsOf.get(name) ?? 0) + rows);
  let statements = [];
  const { sql } = storage;
  const [exec, setAlarm] = [sql.exec.bind(sql), storage.setAlarm.bind(storage)];
  const collect = () => {
    for (const statement of statements) add(statement.rowsWritten);
    statements = [];
    return rowsOf.get(name) ?? 0;
  };
  Object.defineProperty(sql, 'exec', {
    value: (...args) => {
      const statement = exec(...args);
      // Done already, unless it returns rows.
      if (isCounting && /^\s*SELECT/i.test(args[0])) return readCounted(statement);
      if (/RETURNING/i.test(args[0])) statements.push(statement);
      else if (!/^\s*SELECT/i.test(args[0])) add(statement.rowsWritten);
      return statement;
    },
  });
  Object.defineProperty(storage, 'setAlarm', {
    value: (...args) => {
      add(1);
      return setAlarm(...args);
    },
  });
  return collect;
}

/** Reads a statement to its end, which is when it is known how many rows it has read. */
function readCounted(statement) {
  const rows = statement.toArray();
  used.objectRowsRead += statement.rowsRead;
  return {
    toArray: () => rows,
    one: () => rows[0],
    [Symbol.iterator]: () => rows.values(),
  };
}

export class ContextObject extends Product {
  #rows;
  #meter = new Meter();

  constructor(context, env) {
    const rows = countRows(context);
    super(context, countedEnv(env));
    this.#rows = rows;
  }

  execute(...values) {
    return this.#metered(() => super.execute(...values));
  }

  reportDelivery(...values) {
    return this.#metered(() => super.reportDelivery(...values));
  }

  flushOutbox(...values) {
    return this.#metered(() => super.flushOutbox(...values));
  }

  alarm(...values) {
    used.alarms += 1;
    return this.#metered(() => super.alarm(...values));
  }

  #metered(work) {
    return isCounting ? this.#meter.run(work) : work();
  }

  benchRows() {
    return this.#rows();
  }

  benchCursors() {
    return this.outboxCursors();
  }

  /** Whether every destination has all there is. */
  benchIsDelivered() {
    const { version } = this.view(SYSTEM);
    return Object.values(this.outboxCursors()).every(({ confirmed }) => confirmed >= version);
  }

  /** Whether nothing will be done soon: whatever is on its way has an alarm behind it. */
  async benchIsQuiet() {
    const alarm = await this.ctx.storage.getAlarm();
    return alarm === null || alarm > Date.now() + SOON_MS;
  }

  /** Changes the context until it has so many events. */
  async benchSeed(id, events) {
    for (let version = this.view(SYSTEM).version; version < events; version += SEED_BATCH) {
      const batch = Array.from({ length: Math.min(SEED_BATCH, events - version) }, (_, index) => {
        const number = version + index;
        return this.execute({
          id,
          command: { type: 'update', data: { name: `Planning ${number}`, description: `What is done in ${number}` } },
          principal: SYSTEM,
          cause: { correlationId: `c${number}`, causationId: null, commandId: `c${number}` },
        });
      });
      await Promise.all(batch);
    }
    return this.view(SYSTEM).version;
  }

  benchEvict() {
    this.ctx.abort('evicted by the benchmark');
  }

  benchRaw() {
    const encoder = new TextEncoder();
    const rows = this.ctx.storage.sql.exec('SELECT event FROM events ORDER BY version').raw();
    const source = {
      type: 'bytes',
      pull(controller) {
        let chunk = '';
        while (chunk.length < CHUNK_CHARS) {
          const { done, value } = rows.next();
          if (done) break;
          chunk += `${value[0]}\n`;
        }
        if (chunk === '') return controller.close();
        controller.enqueue(encoder.encode(chunk));
      },
    };
    return new ReadableStream(source);
  }
}

/** A class of the log's objects with everything counted that it uses. */
function countedPart(Base, names) {
  class Counted extends Base {
    constructor(context, env) {
      if (isCounting) countRowsOfLog(context.storage.sql);
      super(context, countedEnv(env, true));
    }
  }
  for (const name of names) {
    Counted.prototype[name] = function metered(...values) {
      if (!isCounting) return Base.prototype[name].apply(this, values);
      this.meter ??= new Meter(true);
      return this.meter.run(() => Base.prototype[name].apply(this, values));
    };
  }
  return Counted;
}

/** Counts the rows that an object of the log writes; none of its statements that write return rows. */
function countRowsOfLog(sql) {
  const exec = sql.exec.bind(sql);
  Object.defineProperty(sql, 'exec', {
    value: (...args) => {
      const statement = exec(...args);
      if (!/^\s*SELECT/i.test(args[0])) used.logRowsWritten += statement.rowsWritten;
      return statement;
    },
  });
}

export const TransparencyShardObject = countedPart(Shard, ['offer', 'heads']);
export const TransparencyLogObject = countedPart(Log, ['append', 'checkpoint', 'prove', 'keys']);

const json = (value) => Response.json(value ?? null);

const operations = {
  rows: async (object) => json(await object.benchRows()),
  cursors: async (object) => json(await object.benchCursors()),
  delivered: async (object) => json(await object.benchIsDelivered()),
  quiet: async (object) => json(await object.benchIsQuiet()),
  seed: async (object, id, count) => json(await object.benchSeed(id, Number(count))),
  evict: (object) => object.benchEvict().then(json, () => json('evicted')),
  raw: async (object) => new Response(await object.benchRaw()),
};

export default {
  ...worker,
  fetch(request, env, execution) {
    const [, prefix, operation, id, argument] = new URL(request.url).pathname.split('/');
    if (prefix === 'bench') {
      if (operation === 'used') return json(used);
      return operations[operation](env.CONTEXTS.get(env.CONTEXTS.idFromName(id)), id, argument);
    }
    used.requests += 1;
    return worker.fetch(request, countedEnv(env), execution);
  },
  queue(batch, env, execution) {
    used.batches += 1;
    return worker.queue(batch, countedEnv(env), execution);
  },
};
