// Counts what the platform bills of a Worker and its objects, for bench/use.ts. Nothing is counted, or slowed down,
// where BENCH_COUNT is not set.

import { env as bindings } from 'cloudflare:workers';
import { AsyncLocalStorage } from 'node:async_hooks';

export const isCounting = Boolean(bindings.BENCH_COUNT);

/**
 * What was used since the start. Durations are milliseconds of objects that could not hibernate. `log…` is the part of
 * the transparency log; its rows are in no other number.
 */
export const used = {
  requests: 0,
  batches: 0,
  objectCalls: 0,
  alarms: 0,
  objectMs: 0,
  objectRowsRead: 0,
  logCalls: 0,
  logMs: 0,
  logRowsWritten: 0,
  bucketWrites: 0,
  bucketReads: 0,
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
  #isOfLog;

  constructor(isOfLog = false) {
    this.#isOfLog = isOfLog;
  }

  begin() {
    if (this.#open++ === 0) this.#since = Date.now();
  }

  end() {
    if (--this.#open > 0) return;
    const activeMs = Math.max(ACTIVE_MS, Date.now() - this.#since);
    used.objectMs += activeMs;
    if (this.#isOfLog) used.logMs += activeMs;
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
  const { wait } = scheduler;
  scheduler.wait = (...values) => waited(wait.apply(scheduler, values));
}

const counted = new WeakMap();

/** The environment with bindings that count, the same for the same one. @param isOfLog whether the log's objects have it */
export function countedEnv(env, isOfLog = false) {
  if (!isCounting) return env;
  const known = counted.get(env);
  if (known) return known;
  const own = Object.fromEntries(
    Object.entries(env).map(([name, binding]) => [name, ofBinding(name, binding, isOfLog)]),
  );
  counted.set(env, own);
  return own;
}

function ofBinding(name, binding, isOfLog) {
  if (name === 'DB') return database(binding);
  if (name === 'CONTEXT_OPS_QUEUE') return queue(binding);
  if (name === 'LOG_TILES') return bucket(binding);
  // A service would say of anything that it has it.
  const isNamespace = binding?.constructor?.name === 'DurableObjectNamespace';
  return isNamespace ? namespace(binding, isOfLog || name.startsWith('TRANSPARENCY')) : binding;
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

/** What changes a bucket, and a list, costs more than what reads it; removing is free. */
function bucket(original) {
  const count = (use, name) => ({
    [name]: (...values) => {
      used[use] += 1;
      return waited(original[name](...values));
    },
  });
  return {
    ...count('bucketWrites', 'put'),
    ...count('bucketWrites', 'list'),
    ...count('bucketReads', 'get'),
    ...count('bucketReads', 'head'),
    delete: (...values) => waited(original.delete(...values)),
  };
}

function namespace(original, isOfLog) {
  const stub = (object) =>
    new Proxy(object, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (typeof name !== 'string' || name.startsWith('bench') || typeof member !== 'function') return member;
        return (...values) => {
          used.objectCalls += 1;
          if (isOfLog) used.logCalls += 1;
          return waited(target[name](...values));
        };
      },
    });
  return {
    get: (id) => stub(original.get(id)),
    idFromName: (name) => original.idFromName(name),
  };
}
