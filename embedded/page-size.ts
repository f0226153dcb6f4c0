const encoder = new TextEncoder();

/** Bytes of records after which an answer takes no more of them: callers read 1 MiB at most. */
export const PAGE_BYTES = 512 * 1024;

/** How much a text adds to an answer. A character may be up to three bytes. */
export function bytesOf(text: string): number {
  return encoder.encode(text).byteLength;
}
