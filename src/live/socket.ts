import type { ContextObject } from '../objects.ts';

/** A WebSocket to an object's live events, or the response it gave instead. */
export async function connect(
  object: DurableObjectStub<ContextObject>,
  after: number | null,
): Promise<WebSocket | Response> {
  const response = await subscribe(object, after);
  return response.webSocket ?? response;
}

/** Asks an object for a WebSocket. @param after the version after which events are wanted; null for the present */
export function subscribe(object: DurableObjectStub<ContextObject>, after: number | null): Promise<Response> {
  const query = after === null ? '' : `?after=${after}`;
  return object.fetch(`https://object/live${query}`, { headers: { Upgrade: 'websocket' } });
}
