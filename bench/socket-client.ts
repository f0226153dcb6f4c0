import { WebSocket } from 'ws';
import { API_KEY } from './api-key.ts';

/** What the process is asked to do. */
export type Order =
  | { readonly kind: 'open'; readonly urls: readonly string[] }
  | {
      readonly kind: 'time';
      /** The address whose sockets are waited for. */
      readonly group: string;
      readonly marker: string;
      readonly request: { readonly url: string; readonly init: RequestInit };
    };

/** What it answers. */
export type Outcome =
  | { readonly kind: 'opened' }
  | { readonly kind: 'timed'; readonly ms: number; readonly frame: string };

/** Handshakes under way at a time. */
const HANDSHAKES = 100;

/** The sockets by the address they were opened on. */
const groups = new Map<string, number>();

/** What is being waited for: how many sockets of the group still lack the marked frame. */
let waiting: { group: string; marker: string; missing: number; done(frame: string): void } | null = null;

async function open(urls: readonly string[]): Promise<void> {
  const queue = [...urls];
  const worker = async () => {
    for (let url = queue.pop(); url !== undefined; url = queue.pop()) await openOne(url);
  };
  await Promise.all(Array.from({ length: HANDSHAKES }, worker));
}

/** Opens one socket; it is open once it was greeted. */
function openOne(url: string): Promise<void> {
  const socket = new WebSocket(url, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    perMessageDeflate: false,
    skipUTF8Validation: true,
  });
  groups.set(url, (groups.get(url) ?? 0) + 1);
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', (code) => reject(new Error(`${url} was closed with ${code}`)));
    socket.once('message', () => {
      socket.on('message', (data: Buffer) => received(socket, url, data));
      resolve();
    });
  });
}

function received(socket: WebSocket, url: string, data: Buffer): void {
  if (waiting?.group === url && data.includes(waiting.marker)) {
    waiting.missing -= 1;
    if (waiting.missing === 0) waiting.done(data.toString());
  } else if (data.includes('"type":"sync"')) socket.send(data.toString());
}

async function time({ group, marker, request }: Extract<Order, { kind: 'time' }>): Promise<Outcome> {
  const frame = new Promise<string>((done) => {
    waiting = { group, marker, missing: groups.get(group) ?? 0, done };
  });
  const started = performance.now();
  const answer = fetch(request.url, request.init);
  const text = await frame;
  const ms = performance.now() - started;
  waiting = null;
  const response = await answer;
  if (!response.ok) throw new Error(await response.text());
  await response.text();
  return { kind: 'timed', ms, frame: text };
}

process.on('message', async (order: Order) => {
  const outcome: Outcome =
    order.kind === 'open' ? await open(order.urls).then(() => ({ kind: 'opened' })) : await time(order);
  process.send?.(outcome);
});
process.on('disconnect', () => process.exit());
