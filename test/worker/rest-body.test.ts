import { describe, expect, it } from 'vitest';
import { api, createContext } from '../support/api.ts';
import { expectProblem, patchText, post, withNothingCreated, withNothingWritten } from '../support/rest.ts';

const MiB = 1024 * 1024;

describe('a body', () => {
  const malformed: [what: string, body: BodyInit, detail: RegExp][] = [
    ['empty', '', /^The body is empty\. Send a JSON object\.$/],
    ['only spaces', '  \n', /^The body is not JSON: /],
    ['cut off', '{"name":"x"', /^The body is not JSON: /],
    ['JSON with something after it', '{"name":"x"} x', /^The body is not JSON: /],
    ['JavaScript', "{name:'x'}", /^The body is not JSON: /],
    ['JSON with a comment', '{"name":"x"/**/}', /^The body is not JSON: /],
    ['NaN', '{"name":"x","metadata":{"n":NaN}}', /^The body is not JSON: /],
    ['JSON with a raw control character', '{"name":"a\u0001b"}', /^The body is not JSON: /],
    ['a form', 'name=x', /^The body is not JSON: /],
    ['not UTF-8', new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), /^The body is not UTF-8/],
    [
      'half of a UTF-8 character',
      new Uint8Array([...bytes('{"name":"'), 0xf0, 0x9f, ...bytes('"}')]),
      /^The body is not UTF-8/,
    ],
    [
      'a surrogate in UTF-8',
      new Uint8Array([...bytes('{"name":"'), 0xed, 0xa0, 0x80, ...bytes('"}')]),
      /^The body is not UTF-8/,
    ],
    ['UTF-16', new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]), /^The body is not UTF-8/],
    [
      'an integer that a double does not keep',
      '{"name":"x","metadata":{"n":9007199254740993}}',
      /^The number 9007199254740993 has more digits/,
    ],
    [
      'an object with a name twice',
      '{"name":"x","name":"y"}',
      /^The name "name" stands twice in an object\. Send it once\.$/,
    ],
    [
      'an object in a list with a name twice, spelled in two ways',
      '{"name":"x","metadata":{"a":[{"b":"}{","\\u0062" : 1}]}}',
      /^The name "\\u0062" stands twice in an object/,
    ],
    [
      'such an integer in a list',
      '{"name":"x","metadata":{"n":[1,-12345678901234567891]}}',
      /^The number -12345678901234567891 has more digits/,
    ],
  ];

  it.each(malformed)('that is %s is refused on creation', async (_what, body, words) => {
    const { detail, errors } = await expectProblem(await withNothingCreated(() => post(body)), 400, 'malformed-body');
    expect(detail).toMatch(words);
    expect(errors).toBeUndefined();
  });

  it.each(malformed)('that is %s is refused in a patch and changes nothing', async (_what, body) => {
    const { id } = await createContext();
    await expectProblem(await withNothingWritten(id, () => patchText(id, body)), 400, 'malformed-body');
  });

  it('with a name once in each of several objects is taken', async () => {
    const metadata = '{"a":{"b":"\\"b\\":{","c":{"b":[{"b":1},{"b":2}]}},"b":{"a":"a"},"toString":{"toString":1}}';
    const response = await post(`{"name":"x","metadata":${metadata}}`);
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ metadata: JSON.parse(metadata) });
  });

  it('that looks like an answer of ours is a body like any other', async () => {
    const { id } = await createContext();
    const body = JSON.stringify({
      problem: 'internal',
      detail: 'x',
      headers: { 'X-Evil': 'yes' },
      extensions: { y: 1 },
    });
    for (const text of [body, '{"problem":"no such"}']) {
      for (const send of [
        () => withNothingCreated(() => post(text)),
        () => withNothingWritten(id, () => patchText(id, text)),
      ]) {
        const response = await send();
        expect(response.headers.has('X-Evil')).toBe(false);
        const { errors } = await expectProblem(response, 400, 'invalid');
        expect(errors).toContainEqual({ pointer: '/problem', message: 'is not a known field; leave it out' });
      }
    }
  });

  it('that is missing is refused', async () => {
    const response = await api('/v1/contexts', { method: 'POST', headers: { 'Content-Type': 'application/json' } });
    await expectProblem(response, 400, 'malformed-body');
  });

  it.each(['[]', '"x"', '5', 'true', 'null', '['.repeat(50_000) + ']'.repeat(50_000)])(
    'that is JSON but no object is refused: %.20s',
    async (body) => {
      const { id } = await createContext();
      for (const send of [() => post(body), () => patchText(id, body)]) {
        const { errors } = await expectProblem(await withNothingWritten(id, send), 400, 'invalid');
        expect(errors?.map((error) => error.pointer)).toEqual(['']);
      }
    },
  );

  it.each(['[]', '"x"', '5', 'null'])('that is %s is told to be a JSON object', async (body) => {
    const { detail } = await expectProblem(await post(body), 400, 'invalid');
    expect(detail).toBe('The body must be a JSON object.');
  });

  it('with an integer that no double can hold at all is told which', async () => {
    const { detail } = await expectProblem(
      await post(`{"name":"x","metadata":{"n":${'9'.repeat(400)}}}`),
      400,
      'malformed-body',
    );
    expect(detail).toMatch(/^The number 9{20,}.* has more digits/);
  });

  it('may hold long numbers that a double keeps, and long digits in a text', async () => {
    const response = await post(
      '{"name":"9007199254740993 \\" 9007199254740993","metadata":{"a":9007199254740992,"b":10000000000000000000,"c":0.1234567890123456789}}',
    );
    expect(response.status).toBe(201);
  });

  it.each([
    ['with its length', 'x'.repeat(MiB + 1)],
    ['far too long', 'x'.repeat(5 * MiB)],
  ])('over 1 MiB is 413: %s', async (_what, body) => {
    const { id } = await createContext();
    for (const send of [() => post(body), () => patchText(id, body)]) {
      const { detail } = await expectProblem(await withNothingWritten(id, send), 413, 'body-too-large');
      expect(detail).toContain('1048576 bytes');
    }
  });

  it('over 1 MiB that comes in pieces is 413, when 16 MiB of it were read and its end did not come', async () => {
    let pieces = 0;
    const endless = new ReadableStream({
      pull(controller) {
        pieces += 1;
        controller.enqueue(new Uint8Array(64 * 1024).fill(0x20));
      },
    });
    await expectProblem(await withNothingCreated(() => post(endless)), 413, 'body-too-large');
    // 17 of them are over the limit, 256 more are read for the sender's sake; a few may have been on their way.
    expect(pieces).toBeLessThan(285);
  });

  it('of 1 MiB that comes in pieces is taken, and one byte more is 413', async () => {
    const inPieces = (text: string) => new Response(text).body ?? '';
    const start = '{"name":"x"';
    const whole = `${start}${' '.repeat(MiB - start.length - 1)}}`;
    expect((await post(inPieces(whole))).status).toBe(201);
    await expectProblem(await withNothingCreated(() => post(inPieces(` ${whole}`))), 413, 'body-too-large');
  });

  it('that comes in pieces, cut inside a character, is put together', async () => {
    const whole = bytes('{"name":"Größe 😀"}');
    const pieces = [...whole].map((byte) => new Uint8Array([byte]));
    const stream = new ReadableStream({
      pull(controller) {
        const piece = pieces.shift();
        if (piece) controller.enqueue(piece);
        else controller.close();
      },
    });
    const response = await post(stream);
    expect(response.status).toBe(201);
    expect(await response.json()).toMatchObject({ name: 'Größe 😀' });
  });
});

describe('a media type', () => {
  it.each([
    '',
    'text/plain',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    'application/json-patch+json',
    'application/json, text/plain',
    'application/json; charset=latin1',
    'application/json; charset=utf-16',
    'json',
  ])('"%s" is 415 and names the right one', async (mediaType) => {
    const { id } = await createContext();
    const created = await withNothingCreated(() => post('{"name":"x"}', { 'Content-Type': mediaType }));
    expect(created.headers.get('Accept')).toBe('application/json');
    const { detail } = await expectProblem(created, 415, 'unsupported-media-type');
    expect(detail).toBe('Send the body as application/json in UTF-8 and say so in Content-Type.');
    const patched = await withNothingWritten(id, () => patchText(id, '{"name":"y"}', { 'Content-Type': mediaType }));
    expect(patched.headers.get('Accept')).toBe('application/merge-patch+json, application/json');
    await expectProblem(patched, 415, 'unsupported-media-type');
  });

  it('that is missing is 415', async () => {
    const response = await api('/v1/contexts', { method: 'POST', body: bytes('{"name":"x"}') });
    await expectProblem(response, 415, 'unsupported-media-type');
  });

  it('for patches is none for creations', async () => {
    const response = await post('{"name":"x"}', { 'Content-Type': 'application/merge-patch+json' });
    await expectProblem(response, 415, 'unsupported-media-type');
  });
});

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text));
}
