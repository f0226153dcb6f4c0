import type { Env } from '../../src/env.ts';
import type { CounterObject } from '../support/counter.ts';

declare global {
  namespace Cloudflare {
    interface Env extends WorkerEnv {
      readonly COUNTERS: DurableObjectNamespace<CounterObject>;
    }
  }
}

type WorkerEnv = Env;
