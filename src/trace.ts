import { sha256Hex } from '../events/hash.ts';

/** Bytes of a span id. */
const SPAN_BYTES = 8;

/** A correlation id that is a trace id itself: the caller sent it, or one just like it as X-Request-Id. */
const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;

/** A new span id (W3C Trace Context): 16 hexadecimal digits. */
export function newSpanId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(SPAN_BYTES)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

/**
 * The trace context of a call that is made because of something with this correlation id: always the same trace, a span
 * of its own. Where the caller sent no trace the id of it is the beginning of the SHA-256 of the correlation id, so that
 * whoever has an event can tell in which trace it was passed on. It is marked as sampled: the log keeps what it is about.
 */
export function traceparentOf(correlationId: string): string {
  const traceId = TRACE_ID.test(correlationId) ? correlationId : sha256Hex(correlationId).slice(0, 32);
  return `00-${traceId}-${newSpanId()}-01`;
}
