import type { PatchOperation } from '../events/json-patch.ts';
import { Connection } from './connection.ts';
import { LiveError, ProblemError, problemOf, versionOf } from './errors.ts';
import { readLines } from './lines.ts';
import { type LiveEndpoint, mayPass, type WatchOptions, watch } from './watch.ts';
import type {
  Context,
  ContextPatch,
  FieldChange,
  Invitation,
  LiveMessage,
  Member,
  NewContext,
  Proposal,
  RecordedEvent,
} from './wire.ts';

export type { PatchOperation } from '../events/json-patch.ts';
export { LiveError, type ProblemDetails, ProblemError } from './errors.ts';
export type { WatchOptions } from './watch.ts';
export type {
  Context,
  ContextPatch,
  FieldChange,
  Invitation,
  LiveMessage,
  Member,
  NewContext,
  Proposal,
  RecordedEvent,
} from './wire.ts';
export { ERASED, sealedSubject } from './words.ts';

/** Where the API is and who calls. */
export interface ConnectOptions {
  /** Such as `https://connect.chitty.cc`. */
  readonly baseUrl: string | URL;
  /** An API key or a delegated token. */
  readonly apiKey?: string | undefined;
  /**
   * Gives a ticket for one WebSocket to a context (`POST /v1/contexts/{id}/tickets`), asked for before each connection:
   * for pages that hold no API key and have a server of their own that does.
   */
  readonly getTicket?: (id: string, signal: AbortSignal | undefined) => Promise<string>;
}

/** What every call takes. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What a change takes. */
export interface ChangeOptions extends CallOptions {
  /** Makes the change safe to repeat: the same key with the same change gives the same answer. */
  readonly idempotencyKey?: string;
  /** Only change this version; otherwise a ProblemError of status 412. */
  readonly ifMatch?: number;
}

/** A version, or a time in ISO 8601 with its zone. */
type Moment = number | string;

/** What a revert takes. */
export interface RevertOptions extends ChangeOptions {
  /** Bring back only these fields. */
  readonly fields?: readonly (keyof ContextPatch)[];
  /** Whether to undo what others have changed since, instead of a ProblemError of status 409 that names it. */
  readonly onConflict?: 'refuse' | 'overwrite';
}

/** The contexts of one ChittyConnect. Every call throws a ProblemError when the API refuses. */
export interface Client {
  create(fields: NewContext, options?: Omit<ChangeOptions, 'ifMatch'>): Promise<Context>;
  /** The context as it is, or as it was. 410 when it is deleted. */
  read(id: string, options?: CallOptions & { readonly at?: Moment }): Promise<Context>;
  patch(id: string, patch: ContextPatch, options?: ChangeOptions): Promise<Context>;
  /** @returns the version of the deletion */
  delete(id: string, options?: ChangeOptions): Promise<number>;
  restore(id: string, options?: ChangeOptions): Promise<Context>;
  /** Brings back, by a new event, what it was at `to`. */
  revert(id: string, to: Moment, options?: RevertOptions): Promise<Context>;
  /** The JSON Patch (RFC 6902) from what it was at `from` to what it was at `to`, to what it is when left out. */
  diff(id: string, from: Moment, to?: Moment, options?: CallOptions): Promise<readonly PatchOperation[]>;
  /** Every event so far, or up to `at`, oldest first, as they arrive: memory stays flat. */
  history(
    id: string,
    options?: CallOptions & { readonly offset?: string; readonly at?: Moment },
  ): AsyncGenerator<RecordedEvent, void>;
  /** Every change of one field, oldest first. @param pointer an RFC 6901 pointer such as `/metadata/priority` */
  fieldHistory(
    id: string,
    pointer: string,
    options?: CallOptions & { readonly at?: Moment },
  ): AsyncGenerator<FieldChange, void>;
  /** Invites an actor to share a context, for a week unless `expiresAt` (ISO 8601) says otherwise. */
  invite(
    id: string,
    actor: string,
    role: Member['role'],
    options?: ChangeOptions & { readonly expiresAt?: string },
  ): Promise<Invitation>;
  /** The invitations that wait for the caller's answer, newest first. */
  invitations(options?: CallOptions): AsyncGenerator<Invitation, void>;
  /** Makes the caller a member of the context. */
  acceptInvitation(invitation: Invitation, options?: ChangeOptions): Promise<Context>;
  /** Removes a member; who removes themselves leaves. @returns the version of it */
  removeMember(id: string, actor: string, options?: ChangeOptions): Promise<number>;
  propose(id: string, change: ContextPatch, options?: ChangeOptions & { readonly message?: string }): Promise<Proposal>;
  /** Approves a proposal; the last approval that is needed applies it. */
  approve(id: string, proposal: string, options?: ChangeOptions): Promise<Proposal>;
  /** One hello, then every event from there on, each once and in order; see `watch`. */
  watch(id: string, options?: WatchOptions): AsyncGenerator<LiveMessage, void, undefined>;
}

/** Changes asked for at once: the most that there may be. */
const FIELD_HISTORY_PAGE = 100;

interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | null;
}

/** Whether WebSockets of this platform take headers, as Node's do; found out by the first one that is given some. */
let takesHeaders = true;

/**
 * Sends a request, and once more when the connection broke and that can do no harm: a read, or a change that carries an
 * Idempotency-Key. A server that was busy for long may close connections on which a request had just been sent.
 */
async function send(url: URL, request: RequestInit): Promise<Response> {
  try {
    return await fetch(url, request);
  } catch (error) {
    const isRead = request.method === undefined || request.method === 'GET';
    const isRepeatable = isRead || new Headers(request.headers).has('Idempotency-Key');
    if (!isRepeatable || request.signal?.aborted) throw error;
    return fetch(url, request);
  }
}

/** Prepares calls to an API. Nothing is sent before the first one. */
export function connect({ baseUrl, apiKey, getTicket }: ConnectOptions): Client {
  const contexts = new URL('v1/contexts', String(baseUrl).replace(/\/*$/, '/'));
  const credential: Record<string, string> = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` };

  function address(id: string, rest = '', query: Readonly<Record<string, Moment | null | undefined>> = {}): URL {
    const url = new URL(`${contexts}/${encodeURIComponent(id)}${rest}`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
    }
    return url;
  }

  async function call(url: URL, { headers, signal, ...init }: RequestInit): Promise<Response> {
    const request = { ...init, headers: { ...credential, ...headers }, ...(signal && { signal }) };
    const response = await send(url, request);
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  function change(method: string, url: URL, options: ChangeOptions, body?: object): Promise<Response> {
    const { idempotencyKey, ifMatch, signal } = options;
    const mediaType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    return call(url, {
      method,
      signal: signal ?? null,
      headers: {
        ...(body && { 'Content-Type': mediaType }),
        ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }),
        ...(ifMatch !== undefined && { 'If-Match': `"${ifMatch}"` }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
  }

  async function issueTicket(id: string, signal: AbortSignal | undefined): Promise<string> {
    const response = await call(address(id, '/tickets'), { method: 'POST', signal: signal ?? null });
    const { ticket }: { ticket: string } = await response.json();
    return ticket;
  }

  function liveUrl(id: string, after: number | undefined, ticket?: string): URL {
    const url = address(id, '/live', { after, ticket });
    url.protocol = url.protocol.replace('http', 'ws');
    return url;
  }

  async function openSocket(id: string, after: number | undefined, signal: AbortSignal | undefined) {
    if (getTicket === undefined && takesHeaders) {
      try {
        // The standard knows no such argument, and so neither do the types.
        const socket: WebSocket = Reflect.construct(WebSocket, [liveUrl(id, after), { headers: credential }]);
        return socket;
      } catch {
        // A browser takes the object for the name of a subprotocol and refuses it before anything was sent.
        takesHeaders = false;
      }
    }
    return new WebSocket(liveUrl(id, after, await (getTicket ?? issueTicket)(id, signal)));
  }

  async function explainFailure(id: string, after: number | undefined, signal: AbortSignal | undefined) {
    if (apiKey === undefined) return;
    let version: number | null;
    try {
      version = versionOf(await call(address(id), { signal: signal ?? null }));
    } catch (error) {
      if (mayPass(error)) return;
      if (!(error instanceof ProblemError && error.status === 410)) throw error;
      version = error.version;
    }
    if (version !== null && after !== undefined && version < after) {
      throw new LiveError(400, `the stream ends at version ${version}, before ${after}, which was to be resumed from`);
    }
  }

  return {
    async create(fields, options = {}) {
      return (await change('POST', contexts, options, fields)).json();
    },
    async read(id, { at, signal } = {}) {
      return (await call(address(id, '', { at }), { signal: signal ?? null })).json();
    },
    async patch(id, patch, options = {}) {
      return (await change('PATCH', address(id), options, patch)).json();
    },
    async delete(id, options = {}) {
      return versionOf(await change('DELETE', address(id), options)) ?? 0;
    },
    async restore(id, options = {}) {
      return (await change('POST', address(id, '/restore'), options)).json();
    },
    async revert(id, to, { fields, onConflict, ...options } = {}) {
      const body = { to, ...(fields && { fields }), ...(onConflict && { onConflict }) };
      return (await change('POST', address(id, '/revert'), options, body)).json();
    },
    async diff(id, from, to, { signal } = {}) {
      return (await call(address(id, '/diff', { from, to }), { signal: signal ?? null })).json();
    },
    async *fieldHistory(id, pointer, { at, signal } = {}) {
      let cursor: string | null = null;
      do {
        const url = address(id, '/history', { pointer, at, cursor, limit: FIELD_HISTORY_PAGE });
        const page: Page<FieldChange> = await (await call(url, { signal: signal ?? null })).json();
        yield* page.items;
        cursor = page.nextCursor;
      } while (cursor !== null);
    },
    async *history(id, { offset = '-1', at, signal } = {}) {
      const url = address(id, '/events', { offset, at });
      const { body } = await call(url, { headers: { Accept: 'application/x-ndjson' }, signal: signal ?? null });
      if (!body) return;
      for await (const line of readLines(body)) {
        const event: RecordedEvent = JSON.parse(line);
        yield event;
      }
    },
    async invite(id, actor, role, { expiresAt, ...options } = {}) {
      const body = { actor, role, ...(expiresAt !== undefined && { expiresAt }) };
      return (await change('POST', address(id, '/invitations'), options, body)).json();
    },
    async *invitations({ signal } = {}) {
      let cursor: string | null = null;
      do {
        const url = new URL('invitations', contexts);
        if (cursor !== null) url.searchParams.set('cursor', cursor);
        const page: Page<Invitation> = await (await call(url, { signal: signal ?? null })).json();
        yield* page.items;
        cursor = page.nextCursor;
      } while (cursor !== null);
    },
    async acceptInvitation({ id, context }, options = {}) {
      return (await change('POST', address(context.id, `/invitations/${id}/accept`), options)).json();
    },
    async removeMember(id, actor, options = {}) {
      return versionOf(await change('DELETE', address(id, `/members/${encodeURIComponent(actor)}`), options)) ?? 0;
    },
    async propose(id, patch, { message, ...options } = {}) {
      const body = { change: patch, ...(message !== undefined && { message }) };
      return (await change('POST', address(id, '/proposals'), options, body)).json();
    },
    async approve(id, proposal, options = {}) {
      return (await change('POST', address(id, `/proposals/${proposal}/approve`), options)).json();
    },
    watch(id, options = {}) {
      const endpoint: LiveEndpoint = {
        open: async (after, pingEveryMs, signal) =>
          new Connection(await openSocket(id, after, signal), pingEveryMs, signal),
        explainFailure: (after, signal) => explainFailure(id, after, signal),
      };
      return watch(endpoint, options);
    },
  };
}
