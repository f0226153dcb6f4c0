import type { ActorObject, ContextObject } from '../objects.ts';
import type { AuthenticatedExchange } from './exchange.ts';
import type { Problem } from './problem.ts';

/** A stream whose history is read: who may is decided by its object. */
export interface HistorySource {
  readonly id: string;
  /** `<stream type>/<id>` */
  readonly stream: string;
  readonly object: DurableObjectStub<ContextObject> | DurableObjectStub<ActorObject>;
}

/** Finds the stream that a request is about, and asks no object whether it is there, because asking one creates it. */
export type FindSource = (exchange: AuthenticatedExchange) => Promise<HistorySource | Problem>;
