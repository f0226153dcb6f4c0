import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { connect } from '../../client/client.ts';

let server: Server | undefined;
afterEach(() => server?.close());

/** A server that breaks the first connections with a request on them. @returns its address and the methods of all requests */
async function breaking(times: number): Promise<{ baseUrl: string; methods: string[] }> {
  const methods: string[] = [];
  const started = createServer((request, response) => {
    methods.push(request.method ?? '');
    if (methods.length <= times) request.socket.resetAndDestroy();
    else response.setHeader('Content-Type', 'application/json').end('{"id":"ctx_1","version":1}');
  });
  server = started;
  await new Promise<void>((resolve) => {
    started.listen(0, '127.0.0.1', resolve);
  });
  const address = started.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { baseUrl: `http://127.0.0.1:${address.port}`, methods };
}

describe('a connection that breaks under a request', () => {
  it('is tried once more for a read', async () => {
    const { baseUrl, methods } = await breaking(1);
    expect(await connect({ baseUrl, apiKey: 'k' }).read('ctx_1')).toMatchObject({ id: 'ctx_1' });
    expect(methods).toEqual(['GET', 'GET']);
  });

  it('is tried once more for a change that carries an Idempotency-Key, and for no other', async () => {
    const { baseUrl, methods } = await breaking(2);
    const client = connect({ baseUrl, apiKey: 'k' });
    await expect(client.patch('ctx_1', { name: 'x' })).rejects.toThrow('fetch failed');
    expect(methods).toEqual(['PATCH']);
    await client.patch('ctx_1', { name: 'x' }, { idempotencyKey: 'once' });
    expect(methods).toEqual(['PATCH', 'PATCH', 'PATCH']);
  });

  it('is tried no third time', async () => {
    const { baseUrl, methods } = await breaking(9);
    await expect(connect({ baseUrl, apiKey: 'k' }).read('ctx_1')).rejects.toThrow('fetch failed');
    expect(methods).toEqual(['GET', 'GET']);
  });
});
