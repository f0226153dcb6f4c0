/**
 * The tests of `@durable-streams/server-conformance-tests` that a stream of our events can pass, by group and (the beginning
 * of) their titles. The others write what we do not keep, or expect to read the very bytes that they wrote: see
 * docs/protocol.md.
 */
export const PASSED_BY_A_READ_ONLY_STREAM: Readonly<Record<string, readonly string[]>> = {
  'Browser Security Headers': [
    'should include X-Content-Type-Options: nosniff on GET responses',
    'should include X-Content-Type-Options: nosniff on HEAD responses',
    'should include Cross-Origin-Resource-Policy header on GET responses',
    'should include Cache-Control: no-store on HEAD responses',
    'should include X-Content-Type-Options: nosniff on SSE responses',
    'should include X-Content-Type-Options: nosniff on long-poll responses',
    'should include security headers on error responses',
  ],
  'HEAD Metadata': ['should return 404 for non-existent stream', 'should return tail offset'],
  'Offset Validation and Resumability': [
    'should return correct tail offset for offset=now',
    'should return empty JSON array for offset=now on JSON streams',
    'should support offset=now with long-poll mode (waits for data)',
    'should receive data with offset=now long-poll when appended',
    'should support offset=now with SSE mode',
    'should return 404 for offset=now on non-existent stream',
    'should return 404 for offset=now with long-poll on non-existent stream',
    'should return 404 for offset=now with SSE on non-existent stream',
    'should support offset=now with SSE on empty stream',
    'should reject malformed offset (contains comma)',
    'should reject offset with spaces',
  ],
  'Offset Validation Properties': ['should reject offsets with invalid characters'],
  'Protocol Edge Cases': [
    'should generate unique, monotonically increasing offsets',
    'should reject empty offset parameter',
    'should reject multiple offset parameters',
  ],
  'Long-Poll Edge Cases': [
    'should require offset parameter for long-poll',
    'should generate Stream-Cursor header on long-poll responses',
    'should echo cursor and handle collision with jitter',
    'should return Stream-Cursor, Stream-Up-To-Date and Stream-Next-Offset on 204 timeout',
  ],
  'Caching and ETag': [
    'should generate ETag on GET responses',
    'should return 304 Not Modified for matching If-None-Match',
    'should return new ETag after data changes',
  ],
  'SSE Mode': [
    'should return text/event-stream content-type for SSE requests',
    'should accept live=sse query parameter for application/json',
    'should require offset parameter for SSE mode',
    'should stream data events via SSE',
    'should send control events with offset',
    'should generate streamCursor in SSE control events',
    'should handle cursor collision with jitter in SSE mode',
    'should have correct SSE headers (no Content-Length, proper Cache-Control)',
    'should generate unique, monotonically increasing offsets',
    'should support reconnection with last known offset',
    'should NOT include Stream-SSE-Data-Encoding header for text/plain streams',
    'should NOT include Stream-SSE-Data-Encoding header for application/json streams',
  ],
  'HEAD with Stream Closure': ['head-closed-stream', 'head-open-stream-no-closed-header'],
  'Read Closed Streams (Catch-up)': ['read-closed-stream-partial-no-closed'],
  'Long-poll with Stream Closure': ['longpoll-closed-stream-immediate', 'longpoll-closed-returns-204-with-header'],
  'SSE with Stream Closure': [
    'sse-closed-stream-control-event',
    'sse-closed-stream-no-cursor',
    'sse-closed-stream-connection-closes',
    'sse-live-reader-receives-final-append-on-close',
  ],
  'Edge Cases': ['offset-now-on-closed-stream'],
};
