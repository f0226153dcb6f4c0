import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { formatVerifierKey } from '../../events/note-keys.ts';
import { witnessesOf } from '../../src/log/witnesses.ts';
import { LOG_KEY, WITNESS } from '../support/proof-world.ts';

const key = formatVerifierKey(WITNESS);

/** What becomes of an answer. */
async function askOf(listener: RequestListener): Promise<unknown> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = z.object({ port: z.int() }).parse(server.address());
  try {
    const [witness] = witnessesOf(`${key} http://127.0.0.1:${port}/prefix/`);
    return await witness?.ask('old 0\n\nnote').catch((error: Error) => error.message);
  } finally {
    server.close();
  }
}

describe('the setting WITNESSES', () => {
  it('is a key and a URL each, one a line or with commas between; nothing is nobody', () => {
    expect(witnessesOf(undefined)).toEqual([]);
    expect(witnessesOf(' \n ')).toEqual([]);
    const two = witnessesOf(`${key} https://a.example,\n${key}  https://b.example/w`);
    expect(two.map((witness) => witness.key.name)).toEqual([WITNESS.name, WITNESS.name]);
  });

  it.each([
    ['no key', 'https://a.example', /WITNESSES/],
    ['no URL', key, /a URL/],
    ['what is no URL', `${key} nowhere`, /a URL/],
    ['more than both', `${key} https://a.example https://b.example`, /a URL/],
    ['the key of a log', `${formatVerifierKey(LOG_KEY)} https://a.example`, /not the key of a witness/],
  ])('with %s is refused', (_, setting, message) => {
    expect(() => witnessesOf(setting)).toThrow(message);
  });
});

describe('what a witness answers', () => {
  it('is lines of signatures, asked for where C2SP says', async () => {
    let asked = '';
    const answer = await askOf((request, response) => {
      asked = `${request.method} ${request.url}`;
      response.end('— a b\n');
    });
    expect(answer).toEqual({ lines: '— a b\n' });
    expect(asked).toBe('POST /prefix/add-checkpoint');
  });

  it('is the size that it knows, when that is another', async () => {
    const conflict: RequestListener = (_request, response) =>
      response.writeHead(409, { 'Content-Type': 'text/x.tlog.size' }).end('12\n');
    expect(await askOf(conflict)).toEqual({ size: 12 });
  });

  it.each([
    ['no permission', 403, 'text/plain', 'no', /403/],
    ['a conflict without a size', 409, 'text/plain', '12\n', /409/],
    ['a conflict with no number', 409, 'text/x.tlog.size', 'x\n', /409/],
    ['an answer without end', 200, 'text/plain', 'x'.repeat(100_000), /too long/],
  ])('is of no use when it is %s', async (_, status, type, text, message) => {
    expect(await askOf((_request, response) => response.writeHead(status, { 'Content-Type': type }).end(text))).toMatch(
      message,
    );
  });
});
