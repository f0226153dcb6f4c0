// Counts what the platform bills of a Worker and its objects, for bench/use.ts. Nothing is counted, or slowed down,
// where BENCH_COUNT is not set.

import { env as bindings } from 'cloudflare:workers';
import { AsyncLocalStorage } from 'node:async_hooks';

export const isCounting = Boolean(bindings.BENCH_COUNT);

/** What was used since the start. Durations are milliseconds of objects that could not hibernate. */
export const used = {
  requests: 0,
  batches: 0,
  objectCalls: 0,
  alarms: 0,
  objectMs: 0,
  objectRowsRead: 0,
  d1RowsRead: 0,
  d1RowsWritten: 0,
  d1Calls: 0,
  messages: 0,
  messageParts: 0,
};

/** Bytes of a message that are one operation of the queue; what it adds to each message. */
const PART_BYTES = 64_000;
const METADATA_BYTES = 100;
/** An object counts as active for at least so long each time: the clock stands still while code runs. */
const ACTIVE_MS = 1;

const encoder = new TextEncoder();
const meters = new AsyncLocalStorage();

/** How long one object is active: while it has something under way, or a timer that will need what is in its memory. */
export class Meter {
  #open = 0;
  #since = 0;

  begin() {
    if (this.#open++ === 0) this.#since = Date.now();
  }

  end() {
    if (--this.#open === 0) used.objectMs += Math.max(ACTIVE_MS, Date.now() - this.#since);
  }

  /** Runs one invocation of the object: a call or its alarm. */
  run(work) {
    this.begin();
    return meters.run(this, () => ended(this, work()));
  }
}

/** Ends what began on a meter when a value is there. */
function ended(meter, value) {
  if (!(value instanceof Promise)) {
    meter.end();
    return value;
  }
  return value.finally(() => meter.end());
}

/** Has the meter of whoever waits run until a promise is settled. */
function waited(promise) {
  const meter = meters.getStore();
  if (!meter) return promise;
  meter.begin();
  return promise.finally(() => meter.end());
}

if (isCounting) {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const open = new Map();
  globalThis.setTimeout = (callback, delay, ...values) => {
    const meter = meters.getStore();
    if (!meter) return set(callback, delay, ...values);
    meter.begin();
    const timer = set(
      (...given) => {
        open.delete(timer);
        try {
          callback(...given);
        } finally {
          meter.end();
        }
      },
      delay,
      ...values,
    );
    open.set(timer, meter);
    return timer;
  };
  globalThis.clearTimeout = (timer) => {
    open.get(timer)?.end();
    open.delete(timer);
    clear(timer);
  };
}

const counted = new WeakMap();

/** The environment with bindings that count, the same for the same one. */
export function countedEnv(env) {
  if (!isCounting) return env;
  const known = counted.get(env);
  if (known) return known;
  const own = { ...env };
  if (env.DB) own.DB = database(env.DB);
  if (env.CONTEXT_OPS_QUEUE) own.CONTEXT_OPS_QUEUE = queue(env.CONTEXT_OPS_QUEUE);
  for (const name of ['CONTEXTS', 'DIRECTORY', 'DEAD_LETTERS', 'INSTALLATIONS']) {
    if (env[name]) own[name] = namespace(env[name]);
  }
  counted.set(env, own);
  return own;
}

function note({ meta }) {
  used.d1RowsRead += meta.rows_read;
  used.d1RowsWritten += meta.rows_written;
}

function database(db) {
  const statement = (original) => {
    const all = async () => {
      used.d1Calls += 1;
      const result = await waited(original.all());
      note(result);
      return result;
    };
    const own = {
      // A property, which is also there behind a proxy.
      original,
      bind: (...values) => statement(original.bind(...values)),
      all,
      run: all,
      first: async (column) => {
        const [row = null] = (await all()).results;
        return row === null || column === undefined ? row : row[column];
      },
    };
    return own;
  };
  return {
    prepare: (sql) => statement(db.prepare(sql)),
    batch: async (statements) => {
      used.d1Calls += 1;
      const results = await waited(db.batch(statements.map((each) => each.original)));
      for (const result of results) note(result);
      return results;
    },
  };
}

function queue(original) {
  return {
    send(body, options) {
      used.messages += 1;
      const bytes = encoder.encode(JSON.stringify(body)).length + METADATA_BYTES;
      used.messageParts += Math.ceil(bytes / PART_BYTES);
      return waited(original.send(body, options));
    },
  };
}

function namespace(original) {
  const stub = (object) =>
    new Proxy(object, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (typeof name !== 'string' || name.startsWith('bench') || typeof member !== 'function') return member;
        return (...values) => {
          used.objectCalls += 1;
          return waited(target[name](...values));
        };
      },
    });
  return {
    get: (id) => stub(original.get(id)),
    idFromName: (name) => original.idFromName(name),
  };
}
