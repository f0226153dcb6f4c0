import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { NotVerifiedError, UsageError } from './errors.ts';
import { codeOf } from './options.ts';

/** Bytes that are read at once. */
const CHUNK_BYTES = 1024 * 1024;

/** What gzip begins with (RFC 1952, section 2.3.1). */
const GZIP = [0x1f, 0x8b] as const;

/**
 * How much compressed input may grow: hashes and ids do not compress, so that an export shrinks to a tenth and hardly to
 * a hundredth. What grows more than this, and is more than so many bytes, was made to fill memories.
 */
const GROWTH_MAX = 250;
const GROWN_MIN_BYTES = 64 * 1024 * 1024;

/** Bytes that are damaged, or too many. */
export class DamagedInput extends NotVerifiedError {}

/**
 * The bytes of a file, of standard input (`-`), or of an answer, decompressed when they are gzip. Held in memory is one
 * chunk at a time.
 *
 * @throws {UsageError} when the file cannot be read
 * @throws {DamagedInput} when the compression is damaged, or a bomb
 */
export async function* readInput(name: string): AsyncGenerator<Uint8Array, void> {
  const source: Readable = name === '-' ? process.stdin : createReadStream(name, { highWaterMark: CHUNK_BYTES });
  yield* decompressed(failing(source, (error) => new UsageError(`${name} cannot be read (${codeOf(error)})`)));
}

/** Decompresses what begins as gzip does; everything else is left as it is. */
async function* decompressed(chunks: AsyncGenerator<Uint8Array, void>): AsyncGenerator<Uint8Array, void> {
  const [start, rest] = await peek(chunks);
  if (!GZIP.every((byte, at) => start[at] === byte)) {
    yield* rest;
    return;
  }
  let taken = 0;
  let grown = 0;
  const counted = async function* () {
    for await (const chunk of rest) {
      taken += chunk.length;
      yield chunk;
    }
  };
  const source = Readable.from(counted(), { objectMode: false });
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  source.on('error', (error) => gunzip.destroy(error));
  const isOurs = (error: unknown) => error instanceof UsageError || error instanceof NotVerifiedError;
  const plain = failing(source.pipe(gunzip), (error) =>
    isOurs(error) ? error : new DamagedInput(`The compressed input is damaged (${codeOf(error)})`),
  );
  for await (const chunk of plain) {
    grown += chunk.length;
    if (grown > GROWN_MIN_BYTES && grown > taken * GROWTH_MAX) {
      throw new DamagedInput(`The compressed input grows to more than ${GROWTH_MAX} times its size: no export does`);
    }
    yield chunk;
  }
}

/** The first bytes of chunks, enough to know gzip by, and all of them. */
async function peek(
  chunks: AsyncGenerator<Uint8Array, void>,
): Promise<[start: Uint8Array, all: AsyncGenerator<Uint8Array, void>]> {
  let start = new Uint8Array();
  while (start.length < GZIP.length) {
    const { done, value } = await chunks.next();
    if (done) break;
    start = new Uint8Array(Buffer.concat([start, value]));
  }
  const all = async function* () {
    if (start.length > 0) yield start;
    yield* chunks;
  };
  return [start, all()];
}

/** The chunks of a stream, its errors translated. */
async function* failing(stream: Readable, translate: (error: unknown) => unknown): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const chunk of stream) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
  } catch (error) {
    throw translate(error);
  }
}
