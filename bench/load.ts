import { connect, type Socket } from 'node:net';

/** A request of the load, without the headers that every request has. */
export interface LoadRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** How much load, on what. */
export interface LoadOptions {
  /** The server's origin: `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** Each with one request under way at a time. */
  readonly connections: number;
  /** Milliseconds between an answer and the next request of its connection; `THINK_MS` when left out. */
  readonly thinkMs?: number;
  /** Stops after so many requests. */
  readonly maxRequests?: number;
  /** Stops sending after so many milliseconds. */
  readonly maxMs: number;
  /** The first so many of these milliseconds count for nothing but the number of requests: 0 when left out. */
  readonly leadMs?: number;
  /** Requests in a second over all connections at most, instead of the pause after each answer. */
  readonly pace?: number;
  /** Whether 429 is an answer like others. */
  readonly takesRefusals?: boolean;
  /** The request with this number, 0, 1, 2 … over all connections. */
  request(index: number): LoadRequest;
}

/** What a load led to. */
export interface LoadResult {
  /** All that were answered. */
  readonly requests: number;
  readonly perSecond: number;
  /** Milliseconds from sending a request to having its whole answer. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Connections of a load that is to keep a server busy. */
export const CONNECTIONS = 64;

/**
 * Milliseconds from an answer to the next request of its connection: a client that is a few milliseconds away. Without
 * them workerd finds the next request on a connection as soon as it has answered one, goes on with it, and does not look
 * at the other connections for seconds; which half of them it serves, and how many it takes at once, doubles or halves
 * the CPU of a request from one turn to the next, and a connection that has waited for five seconds is closed.
 */
export const THINK_MS = 5;

/** Milliseconds without any answer after which the server counts as hung. */
const SILENCE_MS = 30_000;

const HEADERS_END = '\r\n\r\n';
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;

/**
 * Sends HTTP/1.1 requests over keep-alive connections, the next soon after an answer. It is our own because a general
 * load tool spends more of the second core per request than the server spends of the first, and then it is the tool
 * that is measured. Answers must carry Content-Length.
 *
 * @throws when an answer is not 2xx (or 429, where that is taken), or none comes for 30 s
 */
export function load(options: LoadOptions): Promise<LoadResult> {
  const { hostname, port, host } = new URL(options.url);
  const { maxRequests = Number.POSITIVE_INFINITY, thinkMs = THINK_MS, leadMs = 0 } = options;
  const latencies: number[] = [];
  const sockets: Socket[] = [];
  const started = performance.now();
  const countedFrom = started + leadMs;
  let sent = 0;
  let lastAnswerAt = started;

  return new Promise((resolve, reject) => {
    let open = options.connections;
    const silence = setInterval(() => {
      if (performance.now() - lastAnswerAt > SILENCE_MS) fail(new Error('The server has stopped to answer'));
    }, 1000);
    const end = () => {
      clearInterval(silence);
      for (const socket of sockets) socket.destroy();
    };
    const fail = (error: Error) => {
      end();
      reject(error);
    };
    const finish = () => {
      const seconds = (lastAnswerAt - countedFrom) / 1000;
      latencies.sort((a, b) => a - b);
      end();
      resolve({
        // Each connection ends with an answer.
        requests: sent,
        perSecond: latencies.length / seconds,
        p50Ms: quantile(latencies, 0.5),
        p99Ms: quantile(latencies, 0.99),
      });
    };
    for (let index = 0; index < options.connections; index++) sockets.push(run());

    function run(): Socket {
      const socket = connect({ host: hostname, port: Number(port), noDelay: true });
      let received = '';
      let sentAt = 0;
      const send = () => {
        if (sent >= maxRequests || performance.now() - started >= options.maxMs) {
          open -= 1;
          if (open === 0) finish();
          return;
        }
        const number = sent++;
        const waitMs = options.pace === undefined ? 0 : started + (number * 1000) / options.pace - performance.now();
        if (waitMs > 0) setTimeout(write, waitMs, number);
        else write(number);
      };
      const write = (number: number) => {
        sentAt = performance.now();
        socket.write(serialize(options.request(number), host));
      };
      socket.setEncoding('latin1');
      socket.on('connect', send);
      socket.on('error', (cause) => {
        const [waitedMs, afterMs] = [performance.now() - sentAt, sentAt - started].map(Math.round);
        fail(
          new Error(`A request of the load, sent after ${afterMs} ms, lost its connection ${waitedMs} ms later`, {
            cause,
          }),
        );
      });
      socket.on('data', (chunk: string) => {
        received = received === '' ? chunk : received + chunk;
        const length = responseLength(received);
        if (length === null || received.length < length) return;
        const isRefused = options.takesRefusals === true && received.slice(9, 12) === '429';
        if (received[9] !== '2' && !isRefused)
          return fail(new Error(`A request of the load was answered:\n${received}`));
        received = received.slice(length);
        lastAnswerAt = performance.now();
        if (lastAnswerAt >= countedFrom) latencies.push(lastAnswerAt - sentAt);
        if (options.pace === undefined) setTimeout(send, thinkMs);
        else send();
      });
      return socket;
    }
  });
}

function serialize({ method, path, headers = {}, body = '' }: LoadRequest, host: string): string {
  let head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n`;
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
  return `${head}Content-Length: ${Buffer.byteLength(body)}${HEADERS_END}${body}`;
}

/** Bytes of the response at the start of `received`, null while its headers are not complete. */
function responseLength(received: string): number | null {
  const headersEnd = received.indexOf(HEADERS_END);
  if (headersEnd < 0) return null;
  const length = CONTENT_LENGTH.exec(received)?.[1];
  if (length === undefined) throw new Error(`An answer without Content-Length:\n${received}`);
  return headersEnd + HEADERS_END.length + Number(length);
}

/** The value below which the share `q` of `sorted` lies. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}
