import type { ZodOpenApiOperationObject } from 'zod-openapi';
import type { Action } from '../../actors/access.ts';
import type { AuthenticatedExchange, Exchange } from './exchange.ts';
import type { Problem } from './problem.ts';

/** What a route answers with. */
export type Answer = Response | Problem;

interface RouteBase {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  /** The path in itty-router's syntax: `/v1/contexts/:id`. */
  readonly path: string;
  /** Whether it only looks something up, though its method could change something. */
  readonly isRead?: true;
  /** What the OpenAPI document says about it. */
  readonly operation: ZodOpenApiOperationObject;
}

/** A route that anyone may call. */
export interface PublicRoute extends RouteBase {
  readonly access: 'public';
  /** Whether it may be called without any limit: for those who look whether the service lives. */
  readonly isUnlimited?: boolean;
  handle(exchange: Exchange): Answer | Promise<Answer>;
}

/**
 * A route that needs a valid credential which is good for the action that it names (actors/access.ts); without one it
 * answers 401 or 403 before anything else is looked at. Whether the caller may do it to this very thing is decided by
 * the thing.
 */
export interface AuthenticatedRoute extends RouteBase {
  readonly access: Action;
  /** Whether a ticket for the context in the path (`?ticket=`) is taken as well. */
  readonly takesTicket?: boolean;
  handle(exchange: AuthenticatedExchange): Answer | Promise<Answer>;
}

/** A route that finds out by itself who calls: it takes credentials that others do not. */
export interface SelfAuthenticatingRoute extends RouteBase {
  readonly access: 'self-authenticating';
  /** What it asks `actors/access.ts` about. */
  readonly action: Action;
  /** Whether the body shows who calls. Until it is read they are strangers, and have the limit of those. */
  readonly isSigned?: true;
  handle(exchange: Exchange): Answer | Promise<Answer>;
}

/** A line of the route table. */
export type Route = PublicRoute | AuthenticatedRoute | SelfAuthenticatingRoute;

/** Whether a route is there to change something. */
export function isCommand({ method, isRead }: Route): boolean {
  return method !== 'GET' && !isRead;
}
