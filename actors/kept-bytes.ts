const encoder = new TextEncoder();

/** Bytes of a value as it is kept in the state of a stream, whose snapshot has to fit into a row of 2 MB. */
export function keptBytes(value: unknown): number {
  return encoder.encode(JSON.stringify(value)).length;
}
