import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Client, connect } from '../../client/client.ts';
import { waitFor } from './server.ts';

/** A server of streams that can be written. */
export interface WritableStreams {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * The write side of the Durable Streams protocol in front of a server that has only the read side, for tests that have
 * to make the streams which they read: PUT makes a context, POST changes it, with `Stream-Closed` it deletes it. Reads
 * go to the server as they are, and its answers come back as they are; only the credential is added.
 */
export async function writableStreams(server: { url: string; apiKey: string }): Promise<WritableStreams> {
  const api = connect({ baseUrl: server.url, apiKey: server.apiKey });
  const contexts = new Map<string, string>();
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const { pathname, search } = new URL(request.url ?? '/', server.url);
    const id = contexts.get(pathname);
    if (request.method === 'PUT' && id === undefined) {
      const made = await make(api, await bodyOf(request));
      contexts.set(pathname, made);
      if (request.headers['stream-closed'] === 'true') await api.delete(made);
      response.writeHead(201, await metadata(server, made)).end();
    } else if (request.method === 'POST' && id !== undefined) {
      const body = await bodyOf(request);
      if (body !== '') await api.patch(id, { metadata: { body } });
      if (request.headers['stream-closed'] === 'true') await api.delete(id);
      response.writeHead(204, await metadata(server, id)).end();
    } else {
      await forward(request, response, server, `${id ?? 'ctx_nobody'}/events${search}`);
    }
  };
  const listener = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('the listener has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    async close() {
      listener.closeAllConnections();
      listener.close();
      await once(listener, 'close');
    },
  };
}

/** Makes a context, and waits until the service has done what it does with a new one, which are events too. */
async function make(api: Client, body: string): Promise<string> {
  const { id } = await api.create({ name: 'A stream', ...(body !== '' && { metadata: { body } }) });
  await waitFor('the context to have its place', async () => (await api.read(id)).provisioning.status === 'complete');
  return id;
}

async function metadata({ url, apiKey }: { url: string; apiKey: string }, id: string): Promise<Record<string, string>> {
  const { headers } = await fetch(`${url}/v1/contexts/${id}/events`, {
    method: 'HEAD',
    headers: { Authorization: `Bearer ${apiKey}` },
  });
  return {
    'Content-Type': headers.get('Content-Type') ?? '',
    'Stream-Next-Offset': headers.get('Stream-Next-Offset') ?? '',
  };
}

async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  { url, apiKey }: { url: string; apiKey: string },
  path: string,
): Promise<void> {
  const { host: _, connection: __, ...given } = request.headers;
  const leave = new AbortController();
  response.on('close', () => leave.abort());
  const answer = await fetch(`${url}/v1/contexts/${path}`, {
    method: request.method ?? 'GET',
    headers: { ...flat(given), Authorization: `Bearer ${apiKey}` },
    signal: leave.signal,
  });
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  response.flushHeaders();
  const reader = answer.body?.getReader();
  for (let chunk = await reader?.read(); chunk?.value !== undefined; chunk = await reader?.read()) {
    response.write(chunk.value);
  }
  response.end();
}

function flat(headers: IncomingMessage['headers']): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString('utf8');
}
