import { ContextActor } from '../actors/context-object.ts';
import type { Env } from './env.ts';

/** The Durable Object classes, connected to what is around them. */

/** One context. */
export class ContextObject extends ContextActor {
  constructor(context: DurableObjectState, env: Env) {
    super(context, env, { sinks: [] });
  }
}
