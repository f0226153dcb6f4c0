import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatHeader, parseHeader } from '../../events/bundle.ts';
import { canonicalText } from '../../events/canonical.ts';
import { sealEvent } from '../../events/envelope.ts';
import { Line } from '../../events/line.ts';
import { formatVerifierKey, SIGNATURE_TYPE, signingKey, verifierKey } from '../../events/note-keys.ts';
import { openSealed } from '../../events/sealed.ts';
import { BundleVerifier, type Trust, type Verdict, verifyBundle } from '../../events/verify.ts';
import { HeadLog, LOG_KEY, NEXT_LOG_KEY, Stream, WITNESS, world } from '../support/proof-world.ts';
import { printedSeed } from '../support/seed.ts';
import { unfaulted } from '../support/unfaulted.ts';

const TRUST: Trust = { keys: [LOG_KEY], witnesses: 0, earlier: [] };
const verify = (lines: readonly string[], trust: Partial<Trust> = {}): Verdict =>
  verifyBundle(`${lines.join('\n')}\n`, { ...TRUST, ...trust });
const codes = ({ findings }: Verdict) => findings.map(({ code }) => code);

const { log, stream, other } = world([3, 7, 12]);
const bundle = log.bundle(stream);

/** The same event, its hash computed anew: what somebody would write who knows how events are sealed. */
function resealed(text: string, change: object): string {
  const { leafHash: _, ...draft } = JSON.parse(text);
  return sealEvent({ ...draft, ...change }).text;
}

/** The bundle with line `version` (the event of that version) changed. */
function withEvent(version: number, change: (text: string) => string): string[] {
  return bundle.map((line, index) => (index === version ? change(line) : line));
}

describe('a bundle', () => {
  it('as it was written is verified', () => {
    expect(verify(bundle)).toMatchObject({
      isVerified: true,
      stream: 'context/ctx_ONE',
      head: { size: 12 },
      checkpoint: { size: 9, signedBy: [{ name: LOG_KEY.name }] },
      findings: [],
    });
    expect(Buffer.from(verify(bundle).head.root).equals(stream.tree.root())).toBe(true);
  });

  it('is the same without its last line feed', () => {
    expect(verifyBundle(bundle.join('\n'), TRUST).isVerified).toBe(true);
  });

  it('comes to the same verdict as it is read line by line', () => {
    const verifier = new BundleVerifier(TRUST);
    for (const line of bundle) verifier.line(Line.of(line));
    expect(verifier.end()).toEqual(verify(bundle));
  });

  it('of any length and any heads is verified', () => {
    const seed = printedSeed('bundles');
    const sizes = fc.uniqueArray(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(sizes, (logged) => {
        const made = world(logged.toSorted((a, b) => a - b));
        expect(codes(verify(made.log.bundle(made.stream)))).toEqual([]);
        expect(codes(verify(made.log.bundle(made.other)))).toEqual([]);
      }),
      { seed, numRuns: 30 },
    );
  });

  it('is verified by the keys on both sides of a rotation', () => {
    const rotating = log.bundle(stream, [LOG_KEY, NEXT_LOG_KEY]);
    expect(verify(rotating).isVerified).toBe(true);
    expect(verify(rotating, { keys: [NEXT_LOG_KEY] }).isVerified).toBe(true);
  });

  it('is verified with the witnesses that are asked for', () => {
    const keys = [LOG_KEY, WITNESS];
    const witnessed = verify(log.bundle(stream, keys), { keys, witnesses: 1 });
    expect(witnessed).toMatchObject({ isVerified: true, checkpoint: { cosignatures: [{ time: 1_795_478_400 }] } });
    expect(codes(verify(bundle, { keys, witnesses: 1 }))).toEqual(['witnesses-missing']);
    expect(codes(verify(log.bundle(stream, keys), { witnesses: 1 }))).toEqual(['witnesses-missing']);
    // One that rotates its keys signs twice, and is still one.
    const twice = [...keys, signingKey(WITNESS.name, SIGNATURE_TYPE.cosignature, new Uint8Array(32).fill(4))];
    expect(codes(verify(log.bundle(stream, twice), { keys: twice, witnesses: 1 }))).toEqual([]);
    expect(codes(verify(log.bundle(stream, twice), { keys: twice, witnesses: 2 }))).toEqual(['witnesses-missing']);
  });
});

describe('an event that was changed', () => {
  it('is named, with the reason', () => {
    const { findings } = verify(withEvent(5, (text) => text.replace('words 4', 'words X')));
    expect(findings).toEqual([
      {
        code: 'event-altered',
        stream: 'context/ctx_ONE',
        version: 5,
        through: null,
        message:
          'context/ctx_ONE version 5: its content is not what was hashed: ' +
          'its leafHash is not that of its content (context_updated)',
      },
    ]);
  });

  it('by any one character is named, and no other', () => {
    const seed = printedSeed('events with a character changed');
    const version = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(version, fc.nat(), fc.constantFrom(...'0aZ"{}:,\\ \u00e9\0'), (at, place, character) => {
        const changed = withEvent(at, (text) => {
          const where = place % text.length;
          return text.slice(0, where) + character + text.slice(where + 1);
        });
        fc.pre(changed[at] !== bundle[at]);
        const verdict = verify(changed);
        expect(verdict.isVerified).toBe(false);
        // The version itself may be what was changed: then the event is missed where it belongs.
        const isNamed = verdict.findings.some(
          ({ code, version: named }) => named === at && (code.startsWith('event-') || code === 'root-mismatch'),
        );
        expect([changed[at], isNamed]).toEqual([changed[at], true]);
      }),
      { seed, numRuns: 200 },
    );
  });

  it('and hashed anew is found between the heads that the log holds', () => {
    const changed = withEvent(5, (text) => resealed(text, { data: { name: 'forged' } }));
    expect(verify(changed).findings).toMatchObject([
      { code: 'root-mismatch', version: 4, through: 7 },
      { code: 'root-mismatch', version: 4, through: 12 },
    ]);
  });

  it('and hashed anew is named when the log holds the heads on both sides of it', () => {
    const each = world([1, 2, 3, 4]);
    const lines = each.log.bundle(each.stream);
    const forged = lines.map((line, index) => (index === 3 ? resealed(line, { actor: 'act_other' }) : line));
    expect(verify(forged).findings[0]).toMatchObject({
      code: 'root-mismatch',
      version: 3,
      through: 3,
      message: expect.stringContaining('version 3 is not what the log holds'),
    });
  });

  it.each([
    ['its time', 'event-time', { time: '2020-01-01T00:00:00.000Z' }],
    ['its id', 'event-id', { id: '00000000000000000000000000' }],
    ['its stream', 'event-of-other-stream', { stream: 'context/ctx_TWO' }],
  ])('in %s alone is named', (_, code, change) => {
    const verdict = verify(withEvent(5, (text) => resealed(text, change)));
    expect(verdict.findings[0]).toMatchObject({ code, version: 5 });
    expect(codes(verdict)).toContain('root-mismatch');
  });

  it.each([
    ['white space', (text: string) => text.replace('"data":', '"data": ')],
    ['a name twice', (text: string) => text.replace('"name":', '"name":"first","name":')],
    ['nothing but words', () => 'not an event'],
    ['nothing', () => ''],
    ['fifty thousand levels', () => `{"a":${'['.repeat(50_000)}`],
    ['three million characters', (text: string) => text.replace('words', 'x'.repeat(3_000_000))],
    ['no hash', (text: string) => text.replace(/"leafHash":"\w+",/, '')],
    ['a hash in capitals', (text: string) => text.replace(/(?<="leafHash":")\w+/, (hash) => hash.toUpperCase())],
    ['a version that is none', (text: string) => text.replace('"version":5', '"version":5.5')],
    ['a carriage return', (text: string) => `${text}\r`],
  ])('to one with %s is named', (_, change) => {
    expect(verify(withEvent(5, change)).findings[0]).toMatchObject({ code: 'event-malformed', version: 5 });
  });

  it('is told once, when its hash still is the one that the log holds', () => {
    const spoilt = withEvent(5, (text) => text.replace('"data":', '"data": '));
    expect(codes(verify(spoilt))).toEqual(['event-malformed']);
  });
});

describe('events that were moved about', () => {
  it('removed: the gap is named', () => {
    expect(verify(bundle.toSpliced(5, 1)).findings).toMatchObject([
      { code: 'event-missing', version: 5, message: 'context/ctx_ONE version 5: it is missing' },
    ]);
    expect(verify(bundle.toSpliced(5, 3)).findings).toMatchObject([
      { code: 'event-missing', version: 5, message: expect.stringContaining('versions 5 to 7 are missing') },
    ]);
  });

  it('cut off at the end: said to be cut', () => {
    for (let length = 1; length < bundle.length; length++) {
      expect(verify(bundle.slice(0, length)).findings.at(-1)).toMatchObject({
        code: 'event-missing',
        version: length,
        message: expect.stringContaining('the bundle is cut'),
      });
    }
  });

  it('swapped: the one that is out of its place is named', () => {
    const swapped = bundle.with(5, bundle[6] ?? '').with(6, bundle[5] ?? '');
    expect(verify(swapped).findings).toMatchObject([{ code: 'event-out-of-order', version: 5 }]);
  });

  it('there twice: named', () => {
    expect(verify(bundle.toSpliced(6, 0, bundle[5] ?? '')).findings).toMatchObject([
      { code: 'event-repeated', version: 5 },
    ]);
  });

  it('inserted and renumbered: found between the heads', () => {
    const inserted = resealed(bundle[5] ?? '', { data: { name: 'forged' } });
    const renumbered = [
      ...bundle.slice(0, 5),
      inserted,
      ...bundle.slice(5).map((text) => resealed(text, { version: JSON.parse(text).version + 1 })),
    ];
    const verdict = verify(renumbered);
    expect(verdict.findings[0]).toMatchObject({ code: 'event-id', version: 6 });
    expect(verdict.findings).toContainEqual(expect.objectContaining({ code: 'root-mismatch', version: 4, through: 7 }));
    expect(verdict.findings).toContainEqual(expect.objectContaining({ code: 'event-unlogged', version: 13 }));
  });

  it('added at the end: the log does not vouch for them', () => {
    stream.append({ name: 'one more' });
    expect(verify([...bundle, stream.texts[12] ?? '']).findings).toMatchObject([
      { code: 'event-unlogged', version: 13 },
    ]);
  });

  it('of another stream instead: each is named, up to a hundred, and the rest counted', () => {
    const [long, foreign] = [new Stream('context/ctx_LONG'), new Stream('context/ctx_FOREIGN')];
    for (let version = 1; version <= 150; version++) {
      long.append({ name: 'a' });
      foreign.append({ name: 'b' });
    }
    const longLog = new HeadLog();
    longLog.record(long);
    const verdict = verify([formatHeader(longLog.header(long)), ...foreign.texts]);
    expect(verdict.findings).toHaveLength(100);
    expect(verdict.findings[7]).toMatchObject({ code: 'event-of-other-stream', version: 8 });
    expect(verdict.moreFindings).toBe(51);
  });
});

describe('a proof that does not fit', () => {
  const header = log.header(stream);
  const [, ...events] = bundle;
  const withHeader = (change: object) => [formatHeader({ ...header, ...change }), ...events];

  it('is of another context', () => {
    expect(codes(verify([formatHeader({ ...log.header(other), stream: stream.name }), ...events]))).toContain(
      'head-not-in-log',
    );
    expect(codes(verify([formatHeader(log.header(other)), ...events]))).toContain('event-of-other-stream');
  });

  it('has a head that the log does not hold', () => {
    const [first, second, last] = header.heads;
    if (!first || !second || !last) throw new Error('There are three heads');
    const wrong = [
      [{ ...last, index: last.index + 1 }],
      [{ ...last, index: 1000 }],
      [{ ...last, proof: last.proof.slice(1) }],
      [{ ...last, proof: [] }],
      [{ ...last, root: first.root }],
      [first, { ...second, root: last.root }, last],
      [{ ...last, size: 11 }],
    ];
    for (const heads of wrong) expect(codes(verify(withHeader({ heads })))).toContain('head-not-in-log');
  });

  it('has a checkpoint that nobody signed, or somebody else', () => {
    const changed = header.checkpoint.replace('\n9\n', '\n8\n');
    expect(codes(verify(withHeader({ checkpoint: changed })))).toContain('checkpoint-invalid');
    expect(codes(verify(withHeader({ checkpoint: 'words' })))).toEqual(['checkpoint-invalid']);
    const stranger = signingKey(LOG_KEY.name, SIGNATURE_TYPE.note, new Uint8Array(32).fill(99));
    expect(verify(log.bundle(stream, [stranger])).findings).toEqual([
      {
        code: 'key-not-trusted',
        stream: stream.name,
        version: null,
        through: null,
        message: `The checkpoint is signed by a key that you do not trust: ${formatVerifierKey(stranger)}`,
      },
    ]);
  });

  it('is signed with a key that goes by the id of one that is trusted', () => {
    const stranger = signingKey(LOG_KEY.name, SIGNATURE_TYPE.note, new Uint8Array(32).fill(99));
    const trusted = { ...verifierKey(LOG_KEY.name, SIGNATURE_TYPE.note, LOG_KEY.publicKey), id: stranger.id };
    const verdict = verify(log.bundle(stream, [stranger]), { keys: [trusted] });
    expect(verdict).toMatchObject({ isVerified: false, checkpoint: null });
  });

  it('rests on nothing when no key is trusted', () => {
    expect(codes(verify(bundle, { keys: [] }))).toEqual(['key-not-trusted']);
  });
});

describe('the first line of a bundle', () => {
  const line = bundle[0] ?? '';
  const header = JSON.parse(line);

  it('is read as it was written', () => {
    expect(formatHeader(unfaulted(parseHeader(line)))).toBe(line);
  });

  it.each([
    ['nothing', ''],
    ['an event', bundle[1] ?? ''],
    ['a name twice', line.replace('{"checkpoint":', '{"checkpoint":"","checkpoint":')],
    ['a name twice, in a head', line.replace('{"index":', '{"index":0,"index":')],
    ['white space', line.replace('{', '{ ')],
    ['another format', canonicalText({ ...header, format: 'chittyconnect-bundle/2' })],
    ['a member that is not known', canonicalText({ ...header, extra: 1 })],
    ['no heads', canonicalText({ ...header, heads: [] })],
    ['heads that fall', canonicalText({ ...header, heads: header.heads.toReversed() })],
    ['a head twice', canonicalText({ ...header, heads: [header.heads[0], header.heads[0]] })],
    ['a negative index', canonicalText({ ...header, heads: [{ ...header.heads[0], index: -1 }] })],
    ['a size that cannot be counted', canonicalText({ ...header, heads: [{ ...header.heads[0], size: 2 ** 60 }] })],
    ['a short root', canonicalText({ ...header, heads: [{ ...header.heads[0], root: 'ab' }] })],
    [
      'an endless proof',
      canonicalText({ ...header, heads: [{ ...header.heads[0], proof: Array(54).fill('ab'.repeat(32)) }] }),
    ],
    ['a thousand keys', canonicalText({ ...header, keys: Array(1000).fill('key') })],
    ['a stream that is none', canonicalText({ ...header, stream: 'context' })],
    ['two million characters', `{"a":"${'x'.repeat(2_000_000)}"}`],
    ['fifty thousand levels', `{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}`],
  ])('of %s is refused', (_, text) => {
    expect(verify([text, ...bundle.slice(1)])).toMatchObject({
      isVerified: false,
      findings: [{ code: 'bundle-malformed', message: expect.stringMatching(/first line/) }],
    });
  });

  it('must be there', () => {
    expect(codes(verifyBundle('', TRUST))).toEqual(['bundle-malformed']);
  });

  it('with any character changed is never verified', () => {
    const seed = printedSeed('first lines with a character changed');
    fc.assert(
      fc.property(fc.nat(line.length - 1), fc.constantFrom(...'0aZ"{}:,\\ '), (at, character) => {
        const changed = line.slice(0, at) + character + line.slice(at + 1);
        fc.pre(changed !== line);
        const isKeyChanged = JSON.stringify(header.keys) !== keysIn(changed);
        // The keys in a bundle are a help for who knows them; nothing rests on them.
        expect(verify([changed, ...bundle.slice(1)]).isVerified && !isKeyChanged).toBe(false);
      }),
      { seed, numRuns: 200 },
    );
  });
});

/** The keys in a first line, as far as it can be read. */
function keysIn(line: string): string {
  try {
    return JSON.stringify(JSON.parse(line).keys);
  } catch {
    return '';
  }
}

describe('against what was known earlier', () => {
  const earlier = (size: number) => ({ size, root: stream.tree.root(size) });

  it('a history that has grown is verified', () => {
    expect(verify(bundle, { earlier: [earlier(1), earlier(5), earlier(12)] }).isVerified).toBe(true);
  });

  it('one that was cut is found, though all its proofs hold', () => {
    const young = world([3, 7]);
    const verdict = verify(young.log.bundle(young.stream), { earlier: [earlier(12)] });
    expect(verdict.findings).toMatchObject([
      { code: 'history-truncated', version: 8, message: expect.stringContaining('there were 12 events earlier') },
    ]);
  });

  it('one that was written anew is found, though all its proofs hold', () => {
    const rewritten = new Stream(stream.name);
    for (let version = 1; version <= 12; version++) rewritten.append({ name: version === 5 ? 'forged' : 'words' });
    const rewrittenLog = new HeadLog();
    rewrittenLog.record(rewritten);
    const verdict = verify(rewrittenLog.bundle(rewritten), { earlier: [earlier(4), earlier(6)] });
    expect(verdict.findings).toMatchObject([
      { code: 'history-rewritten', version: 1, through: 4 },
      { code: 'history-rewritten', version: 1, through: 6 },
    ]);
  });
});

describe('the facts of a sealed event', () => {
  it('are those of its envelope', () => {
    for (const text of stream.texts) {
      const { id, stream: name, version, type, time, leafHash } = JSON.parse(text);
      const facts = unfaulted(openSealed(Line.of(text)));
      expect(facts).toMatchObject({ id, stream: name, version, type, time, claimedHash: leafHash, isIntact: true });
      expect(Buffer.from(facts.contentHash).toString('hex')).toBe(leafHash);
    }
  });

  it('are not taken from the payload', () => {
    const data = { leafHash: 'ab'.repeat(32), version: 9, id: 'x', '"leafHash":"': '"version":7}' };
    const { text } = sealEvent({ ...JSON.parse(stream.texts[0] ?? ''), data });
    expect(openSealed(Line.of(text))).toMatchObject({ version: 1, isIntact: true });
  });
});
