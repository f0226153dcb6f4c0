import type { Principal } from '../../actors/principal.ts';
import type { ContextObject } from '../objects.ts';

/** A WebSocket to an object's live events, or the response it gave instead. */
export async function connect(
  object: DurableObjectStub<ContextObject>,
  after: number | null,
  principal: Principal,
): Promise<WebSocket | Response> {
  const response = await subscribe(object, after, principal);
  return response.webSocket ?? response;
}

/** Asks an object for a WebSocket. @param after the version after which events are wanted; null for the present */
export function subscribe(
  object: DurableObjectStub<ContextObject>,
  after: number | null,
  principal: Principal,
): Promise<Response> {
  const query = after === null ? '' : `?after=${after}`;
  const headers = { Upgrade: 'websocket', 'X-Principal': encodeURIComponent(JSON.stringify(principal)) };
  return object.fetch(`https://object/live${query}`, { headers });
}
