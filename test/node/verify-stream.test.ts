import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Trust, verifyBundle } from '../../events/verify.ts';
import { verifyStream } from '../../events/verify-stream.ts';
import { LOG_KEY, world } from '../support/proof-world.ts';
import { printedSeed } from '../support/seed.ts';

const TRUST: Trust = { keys: [LOG_KEY], witnesses: 0, earlier: [] };
const { log, stream } = world([3, 9]);
const bundle = Buffer.from(`${log.bundle(stream).join('\n')}\n`);

/** The chunks that bytes come in, cut at these places, all in the same memory, as a reader may do it. */
async function* chunked(bytes: Uint8Array, places: readonly number[]): AsyncGenerator<Uint8Array> {
  const cuts = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  const memory = new Uint8Array(bytes.length);
  let from = 0;
  for (const to of cuts) {
    memory.fill(0);
    memory.set(bytes.subarray(from, to));
    yield memory.subarray(0, to - from);
    from = to;
  }
}

const verify = (bytes: Uint8Array, ...places: number[]) => verifyStream(chunked(bytes, places), TRUST);

describe('a bundle that comes in pieces', () => {
  it('has the verdict that it has as a whole, wherever it is cut', async () => {
    const seed = printedSeed('bundles in pieces');
    const whole = verifyBundle(bundle.toString(), TRUST);
    expect(whole.isVerified).toBe(true);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(), { maxLength: 30 }), async (places) => {
        expect(await verify(bundle, ...places)).toEqual(whole);
      }),
      { seed, numRuns: 50 },
    );
    expect(await verify(bundle, ...bundle.keys())).toEqual(whole);
    expect(await verify(bundle.subarray(0, -1))).toEqual(whole);
  });

  it('and is changed in one byte is never verified', async () => {
    const seed = printedSeed('bundles with a byte changed');
    const keys = bundle.indexOf('"keys"');
    const events = bundle.indexOf('\n');
    await fc.assert(
      fc.asyncProperty(fc.nat(bundle.length - 2), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        // The keys in it are a help for who knows them; nothing rests on them.
        fc.pre(at < keys || at > events - '"stream"'.length - stream.name.length);
        const changed = Buffer.from(bundle);
        changed[at] = (changed[at] ?? 0) ^ change;
        const verdict = await verify(changed);
        expect(verdict).toMatchObject({ isVerified: false });
        expect(verdict.findings.length).toBeGreaterThan(0);
      }),
      { seed, numRuns: 150 },
    );
  });

  it('and cut anywhere is never verified', async () => {
    for (let length = 0; length < bundle.length - 1; length += 101) {
      expect((await verify(bundle.subarray(0, length))).isVerified).toBe(false);
    }
  });

  it('names the line that is not UTF-8, also when a reader would see the same characters', async () => {
    const odd = world([1]);
    odd.stream.append({ name: '\ufffd' });
    odd.log.record(odd.stream);
    const good = Buffer.from(odd.log.bundle(odd.stream).join('\n'));
    expect((await verify(good)).isVerified).toBe(true);
    const at = good.indexOf('\ufffd');
    const bad = Buffer.concat([good.subarray(0, at), Buffer.of(0xff), good.subarray(at + 3)]);
    expect(bad.toString()).toBe(good.toString());
    expect((await verify(bad)).findings).toMatchObject([
      { code: 'event-malformed', version: 2, message: expect.stringContaining('it is not UTF-8') },
    ]);
  });

  it.each([
    ['a line without an end', Buffer.alloc(0)],
    ['an event without an end', bundle.subarray(0, bundle.indexOf('\n') + 1)],
  ])('is not read to its end when it is %s', async (_, before) => {
    let read = 0;
    async function* endless() {
      yield before;
      for (;;) {
        read++;
        yield new Uint8Array(1024 * 1024).fill(0x78);
      }
    }
    const verdict = await verifyStream(endless(), TRUST);
    expect(verdict.findings[0]?.message).toContain('longer than 6291456 bytes');
    expect(read).toBeLessThan(10);
  });

  it('and is empty, or only line feeds, is none', async () => {
    expect((await verify(Buffer.alloc(0))).findings).toMatchObject([{ code: 'bundle-malformed' }]);
    expect((await verify(Buffer.from('\n\n\n'))).findings).toMatchObject([{ code: 'bundle-malformed' }]);
  });
});
