import { setTimeout as pause } from 'node:timers/promises';
import type { z } from 'zod';
import type { LogSource } from '../client/checkpoints.ts';
import { problemOf } from '../client/errors.ts';
import { ServerError } from './errors.ts';

/** How long an answer may take to begin, in milliseconds: a bundle may wait for the log. */
const TIMEOUT_MS = 90_000;
/** How often a server that is busy is asked again, and how long it is waited for at most, in milliseconds. */
const RETRIES = 5;
const RETRY_MAX_MS = 30_000;
/** Bytes of an answer that is read as a whole at most: the largest is a tile of entries. */
const BODY_MAX = 32 * 1024 * 1024;

/** How often a request is sent whose connection breaks before there is an answer, and how that is called. */
const ATTEMPTS = 3;
const BROKEN = /ECONNRESET|EPIPE|UND_ERR_SOCKET/;

/** Statuses after which the same request may succeed a little later. */
export const BUSY: ReadonlySet<number> = new Set([429, 503]);

/** A ChittyConnect as the tool reads it. */
export class Server implements LogSource {
  readonly url: URL;
  readonly apiKey: string | undefined;

  constructor(url: URL, apiKey: string | undefined) {
    this.url = url;
    this.apiKey = apiKey;
  }

  /**
   * Asks for something.
   *
   * @throws {ServerError} when there is no answer, or a refusal
   */
  async get(path: string, accept = '*/*'): Promise<Response> {
    for (let attempt = 0; ; attempt++) {
      const response = await this.#send(path, accept);
      if (response.ok) return response;
      if (!BUSY.has(response.status) || attempt === RETRIES) throw await refusalOf(response, this.apiKey);
      const seconds = Number(response.headers.get('Retry-After') ?? 1);
      await response.body?.cancel();
      await pause(Math.min(RETRY_MAX_MS, Math.max(0.2, seconds || 1) * 1000));
    }
  }

  /** An answer in JSON. @throws {ServerError} also when it has another form */
  async json<Schema extends z.ZodType>(path: string, schema: Schema): Promise<z.infer<Schema>> {
    const parsed = schema.safeParse(jsonOf(await textOf(await this.get(path, 'application/json'))));
    if (parsed.success) return parsed.data;
    throw new ServerError(`/${path}: what the server gave is not what was asked for`);
  }

  /** The text of an answer; null when there is no such thing. */
  async text(path: string): Promise<string | null> {
    const bytes = await this.#bytes(path);
    return bytes && new TextDecoder().decode(bytes);
  }

  checkpoint(): Promise<string | null> {
    return this.text('log/checkpoint');
  }

  tile(path: string): Promise<Uint8Array | null> {
    return this.#bytes(`log/${path}`);
  }

  async #bytes(path: string): Promise<Uint8Array | null> {
    try {
      return await readAll(chunksOf(await this.get(path)));
    } catch (error) {
      if (error instanceof ServerError && error.status === 404) return null;
      throw error;
    }
  }

  /** Sends a request, and again when the connection broke: a server that was busy may close one that was just used. */
  async #send(path: string, accept: string): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#sendOnce(path, accept);
      } catch (error) {
        const isBroken = error instanceof ServerError && BROKEN.test(error.message);
        if (!isBroken || attempt === ATTEMPTS) throw error;
      }
    }
  }

  async #sendOnce(path: string, accept: string): Promise<Response> {
    const base = new URL(String(this.url).replace(/\/*$/, '/'));
    const headers = { Accept: accept, ...(this.apiKey !== undefined && { Authorization: `Bearer ${this.apiKey}` }) };
    const slow = new AbortController();
    const timer = setTimeout(() => slow.abort(), TIMEOUT_MS);
    try {
      return await fetch(new URL(path, base), { headers, signal: slow.signal });
    } catch (error) {
      throw new ServerError(`${base.origin} cannot be reached (${reasonOf(error, slow.signal)})`);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** The bytes of an answer as they come. @throws {ServerError} when the connection breaks */
export async function* chunksOf(response: Response): AsyncGenerator<Uint8Array, void> {
  try {
    for await (const chunk of response.body ?? []) yield chunk;
  } catch (error) {
    throw new ServerError(`The connection broke (${reasonOf(error)})`);
  }
}

/** The text of an answer. @throws {ServerError} when the connection breaks, or it is too long */
export async function textOf(response: Response): Promise<string> {
  return new TextDecoder().decode(await readAll(chunksOf(response)));
}

/** The value of a JSON text; undefined when it is none. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function readAll(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > BODY_MAX) throw new ServerError(`The answer is longer than ${BODY_MAX} bytes`);
    parts.push(chunk);
  }
  return new Uint8Array(Buffer.concat(parts));
}

async function refusalOf(response: Response, apiKey: string | undefined): Promise<ServerError> {
  const { message, problem } = await problemOf(response);
  const hint = response.status === 401 && apiKey === undefined ? ' Set CHITTYCONNECT_API_KEY, or use --key-file.' : '';
  return new ServerError(`${new URL(response.url).pathname}: ${message}${hint}`, response.status, problem);
}

function reasonOf(error: unknown, signal?: AbortSignal): string {
  if (signal?.aborted) return `no answer for ${TIMEOUT_MS / 1000} s`;
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error) return 'code' in cause ? String(cause.code) : cause.message;
  return error instanceof Error ? error.message : String(error);
}
