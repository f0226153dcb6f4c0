// The product with a few more methods on its object, for what cannot be seen from outside: rows written, eviction, and
// the bare form of a replay over the very same rows. The product's own code runs as it is.
import worker, { ContextObject as Product } from '../../src/worker.ts';

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

export class ContextObject extends Product {
  #rows;

  constructor(context, env) {
    const rows = countRows(context);
    super(context, env);
    this.#rows = rows;
  }

  benchRows() {
    return this.#rows();
  }

  /** Whether nothing will be done soon: whatever is on its way has an alarm behind it. */
  async benchIsQuiet() {
    const alarm = await this.ctx.storage.getAlarm();
    return alarm === null || alarm > Date.now() + SOON_MS;
  }

  /** Changes the context until it has so many events. */
  async benchSeed(id, events) {
    for (let version = this.view().version; version < events; version += SEED_BATCH) {
      const batch = Array.from({ length: Math.min(SEED_BATCH, events - version) }, (_, index) => {
        const number = version + index;
        return this.execute({
          id,
          command: { type: 'update', data: { name: `Planning ${number}`, description: `What is done in ${number}` } },
          cause: { actor: 'act_bench', correlationId: `c${number}`, causationId: null, commandId: `c${number}` },
        });
      });
      await Promise.all(batch);
    }
    return this.view().version;
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

const json = (value) => Response.json(value ?? null);

const operations = {
  rows: async (object) => json(await object.benchRows()),
  quiet: async (object) => json(await object.benchIsQuiet()),
  seed: async (object, id, count) => json(await object.benchSeed(id, Number(count))),
  evict: (object) => object.benchEvict().then(json, () => json('evicted')),
  raw: async (object) => new Response(await object.benchRaw()),
};

export default {
  ...worker,
  fetch(request, env, execution) {
    const [, prefix, operation, id, argument] = new URL(request.url).pathname.split('/');
    if (prefix !== 'bench') return worker.fetch(request, env, execution);
    return operations[operation](env.CONTEXTS.get(env.CONTEXTS.idFromName(id)), id, argument);
  },
};
