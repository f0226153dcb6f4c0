// The product whose events go nowhere: what its sinks cost is measured against it.
import { ContextActor } from '../../actors/context-object.ts';

export * from '../../src/worker.ts';
export { default } from '../../src/worker.ts';

export class ContextObject extends ContextActor {
  constructor(context, env) {
    super(context, env, { sinks: [] });
  }
}
