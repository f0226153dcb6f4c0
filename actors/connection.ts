import type { ConnectionEvent } from '../events/connection.ts';
import type { Decider, Recorded, Refusal } from './decider.ts';
import type { Principal } from './principal.ts';

const DAY_MS = 86_400_000;
/** How long an idle or failed connection is kept without a sign of life. */
const STALE_AFTER_MS = DAY_MS;
/** How long a connection waits for consent; as long as an invitation does by itself. */
const EXPIRES_AFTER_MS = 7 * DAY_MS;

type Data<Type extends ConnectionEvent['type']> = Extract<ConnectionEvent, { type: Type }>['data'];

/** What is connected, and how. */
export type ConnectionTerms = Data<'connection_requested'>;

/** A connection between two contexts. The JSON that clients see. */
export type Connection = {
  readonly id: string;
  /** The contexts at its ends. */
  readonly from: string;
  readonly to: string;
  readonly type: string;
  readonly direction: ConnectionTerms['direction'];
  readonly status: 'pending' | 'active' | 'idle' | 'failed' | 'disconnected';
  /** Why it failed or ended. */
  readonly reason: string | null;
  readonly idleAfterSeconds: number | null;
  /** Who asked for it last, and who consented. */
  readonly createdBy: string;
  readonly consentedBy: string | null;
  readonly version: number;
  readonly createdAt: string;
  /** When its status changed last: heartbeats by themselves change nothing. */
  readonly updatedAt: string;
};

/** Null until somebody asked for it. */
export type ConnectionState = Connection | null;

/** What can be asked of a connection. Who may ask for it, and what is known of the ends, was found out before. */
export type ConnectionCommand =
  | {
      readonly type: 'request';
      readonly terms: ConnectionTerms;
      /** Whether whoever asks may say yes for the other end as well. */
      readonly isConsented: boolean;
      /** An end that is deleted. */
      readonly deletedEnd: string | null;
    }
  | { readonly type: 'consent'; readonly deletedEnd: string | null }
  | { readonly type: 'decline' }
  | { readonly type: 'disconnect' }
  /** A sign of life; `failure` says what is wrong, null when nothing is. */
  | { readonly type: 'heartbeat'; readonly failure: string | null }
  /** The time for something to happen is over, which it was given in this status. */
  | { readonly type: 'lapse'; readonly status: Connection['status']; readonly lastHeartbeatAt: string | null }
  | { readonly type: 'endWithContext' };

/**
 * What a connection does. It waits for the consent of the other end, unless who asks may give it; lives by heartbeats;
 * and can be asked for again when it has ended, in the same stream.
 */
export const connectionDecider: Decider<ConnectionState, ConnectionCommand, ConnectionEvent> = {
  initialState: null,

  decide(command, state, by) {
    if (command.type === 'request') return request(command, state, by);
    if (state === null) return { refused: 'not-found', detail: 'There is no such connection.' };
    switch (command.type) {
      case 'consent':
        return consent(command.deletedEnd, state, by);
      case 'decline':
        if (state.status === 'pending') return [{ type: 'connection_declined', data: {} }];
        if (state.status === 'disconnected') return [];
        return { refused: 'conflict', detail: 'It is established already. DELETE disconnects it.' };
      case 'disconnect':
        return end(state, 'requested');
      case 'heartbeat':
        return heartbeat(command.failure, state);
      case 'lapse':
        return command.status === state.status ? lapse(command.lastHeartbeatAt, state) : [];
      case 'endWithContext':
        return end(state, 'context_deleted');
      default:
        return command satisfies never;
    }
  },

  evolve(state, event) {
    if (event.type === 'connection_requested') return requested(state, event);
    if (state === null) throw new Error(`${event.type} at the start of ${event.stream}`);
    const moved = { ...state, version: event.version, updatedAt: event.time };
    switch (event.type) {
      case 'connection_established':
        return { ...moved, status: 'active', consentedBy: event.data.consentedBy };
      case 'connection_declined':
        return { ...moved, status: 'disconnected', reason: 'declined' };
      case 'connection_withdrawn':
      case 'connection_disconnected':
        return { ...moved, status: 'disconnected', reason: event.data.reason };
      case 'connection_idled':
        return { ...moved, status: 'idle' };
      case 'connection_resumed':
        return { ...moved, status: 'active', reason: null };
      case 'connection_failed':
        return { ...moved, status: 'failed', reason: event.data.reason };
      default:
        return event satisfies never;
    }
  },
};

/**
 * When a connection will not be what it is any more if nothing happens, in milliseconds since 1970; null for never.
 *
 * @param heardAt when the last heartbeat came (milliseconds since 1970), null when none ever did
 */
export function lapsesAt({ status, updatedAt, idleAfterSeconds }: Connection, heardAt: number | null): number | null {
  const changedAt = Date.parse(updatedAt);
  const aliveAt = Math.max(changedAt, heardAt ?? 0);
  switch (status) {
    case 'pending':
      return changedAt + EXPIRES_AFTER_MS;
    case 'active':
      return idleAfterSeconds === null ? null : aliveAt + idleAfterSeconds * 1000;
    case 'idle':
    case 'failed':
      return idleAfterSeconds === null ? null : aliveAt + STALE_AFTER_MS;
    case 'disconnected':
      return null;
    default:
      return status satisfies never;
  }
}

function request(
  { terms, isConsented, deletedEnd }: Extract<ConnectionCommand, { type: 'request' }>,
  state: ConnectionState,
  by: Principal,
): readonly ConnectionEvent[] | Refusal {
  if (terms.from === terms.to) {
    const message = 'must be another context than from';
    return { refused: 'invalid', detail: `/to ${message}.`, errors: [{ pointer: '/to', message }] };
  }
  if (state !== null && state.status !== 'disconnected') {
    const more = state.status === 'pending' ? ' It waits for consent: POST …/consent.' : '';
    return { refused: 'already-exists', detail: `They are connected like this already, by ${state.id}.${more}` };
  }
  if (deletedEnd !== null) return ofDeleted(deletedEnd);
  const { from, to, type, direction } = terms;
  const established = { from, to, type, direction, consentedBy: by.subject };
  return [
    { type: 'connection_requested', data: terms },
    ...(isConsented ? [{ type: 'connection_established' as const, data: established }] : []),
  ];
}

function consent(deletedEnd: string | null, state: Connection, by: Principal): readonly ConnectionEvent[] | Refusal {
  if (state.status === 'disconnected') return notConnected('It has ended. Ask for it anew: POST /v1/connections.');
  if (state.status !== 'pending') return [];
  if (deletedEnd !== null) return ofDeleted(deletedEnd);
  return [{ type: 'connection_established', data: { ...endsOf(state), consentedBy: by.subject } }];
}

function heartbeat(failure: string | null, { status }: Connection): readonly ConnectionEvent[] | Refusal {
  if (status === 'pending') return notConnected('It waits for the consent of the other end.');
  if (status === 'disconnected') return notConnected('It has ended. Ask for it anew: POST /v1/connections.');
  if (failure !== null) return status === 'failed' ? [] : [{ type: 'connection_failed', data: { reason: failure } }];
  return status === 'active' ? [] : [{ type: 'connection_resumed', data: {} }];
}

function lapse(lastHeartbeatAt: string | null, state: Connection): readonly ConnectionEvent[] {
  if (state.status === 'active') return [{ type: 'connection_idled', data: { lastHeartbeatAt } }];
  return end(state, state.status === 'pending' ? 'expired' : 'stale');
}

/** The end of a connection, or of the request for one: only what was connected is disconnected. */
function end(state: Connection, reason: Data<'connection_disconnected'>['reason']): readonly ConnectionEvent[] {
  if (state.status === 'disconnected') return [];
  if (state.status === 'pending') return [{ type: 'connection_withdrawn', data: { reason } }];
  return [{ type: 'connection_disconnected', data: { ...endsOf(state), reason } }];
}

function requested(state: ConnectionState, event: Recorded<ConnectionEvent> & { type: 'connection_requested' }) {
  return {
    id: event.stream.slice(event.stream.indexOf('/') + 1),
    ...event.data,
    status: 'pending' as const,
    reason: null,
    createdBy: event.onBehalfOf ?? event.actor,
    consentedBy: null,
    version: event.version,
    createdAt: state?.createdAt ?? event.time,
    updatedAt: event.time,
  };
}

function endsOf({ from, to, type, direction }: Connection) {
  return { from, to, type, direction };
}

/** The answer about ends that do not exist, to the asker. @param pointers where they stand in what was asked for */
export function noSuchEnds(pointers: readonly string[]): Refusal {
  const errors = pointers.map((pointer) => ({ pointer, message: 'must be the id of a context that you may read' }));
  return { refused: 'not-found', detail: `There is no context with the id in ${pointers.join(' and ')}.`, errors };
}

function ofDeleted(context: string): Refusal {
  return { refused: 'deleted', detail: `The context ${context} is deleted. Restore it first.` };
}

function notConnected(detail: string): Refusal {
  return { refused: 'not-connected', detail };
}
