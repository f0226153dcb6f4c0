import type { Env } from '../env.ts';
import type { MetricFamily } from './openmetrics.ts';

let errors = 0;

/** What a statement on D1 ends with that fails within a request: the read models do not answer. */
export class ReadModelError extends Error {}

/** The environment with a database whose errors are counted, by the environment: an isolate has one. */
const watched = new WeakMap<Env, Env>();

/** The same environment, with a database whose errors are counted. */
export function withCountedDatabase(env: Env): Env {
  const known = watched.get(env);
  if (known) return known;
  const own = { ...env, DB: counted(env.DB) };
  watched.set(env, own);
  return own;
}

/** The same object; whatever a method of it, or of what its methods give, throws or rejects with is counted. */
function counted<Target extends object>(target: Target): Target {
  return new Proxy(target, {
    get(object, name) {
      const value: unknown = Reflect.get(object, name, object);
      if (typeof value !== 'function') return value;
      return (...values: unknown[]): unknown => {
        try {
          const result: unknown = Reflect.apply(value, object, values);
          if (result instanceof Promise) return result.catch(fail);
          return typeof result === 'object' && result !== null ? counted(result) : result;
        } catch (error) {
          return fail(error);
        }
      };
    },
  });
}

function fail(error: unknown): never {
  errors += 1;
  throw new ReadModelError(error instanceof Error ? error.message : String(error), { cause: error });
}

/** The errors that were counted. */
export function databaseFamily(): MetricFamily {
  return {
    name: 'chittyconnect_d1_errors',
    type: 'counter',
    help: 'Statements on D1 that failed in requests to this isolate. Those of the outbox show as streams behind.',
    samples: [{ suffix: '_total', labels: {}, value: errors }],
  };
}
