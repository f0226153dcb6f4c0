import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  compareCheckpoints,
  compareHeads,
  formatCheckpoint,
  openCheckpoint,
  parseCheckpoint,
} from '../../events/checkpoint.ts';
import { isFault } from '../../events/fault.ts';
import { formatNote, signText } from '../../events/note.ts';
import { SIGNATURE_TYPE, signingKey } from '../../events/note-keys.ts';
import { consistencyProof } from '../../events/proof.ts';
import { someLeaves } from '../support/naive-tree.ts';
import { LOG_KEY, MemoryTree, NEXT_LOG_KEY, ORIGIN, WITNESS } from '../support/proof-world.ts';
import { printedSeed } from '../support/seed.ts';
import { unfaulted } from '../support/unfaulted.ts';

// The example of C2SP tlog-checkpoint, https://c2sp.org/tlog-checkpoint.
const SPEC = 'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n';

const signed = (text: string, ...keys: (typeof LOG_KEY)[]) =>
  formatNote({ text, signatures: keys.map((key) => signText(text, key, 1_679_315_147)) });
const TEXT = formatCheckpoint({ origin: ORIGIN, size: 3, root: new Uint8Array(32).fill(9), extensions: [] });

describe('a checkpoint', () => {
  it('of the specification is read and written as it is', () => {
    const checkpoint = unfaulted(parseCheckpoint(SPEC));
    expect(checkpoint).toMatchObject({ origin: 'example.com/behind-the-sofa', size: 20852163, extensions: [] });
    expect(Buffer.from(checkpoint.root).toString('hex')).toBe(
      '0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62',
    );
    expect(formatCheckpoint(checkpoint)).toBe(SPEC);
  });

  it('keeps its extension lines', () => {
    const text = `${SPEC}one\ntwo words\n`;
    expect(parseCheckpoint(text)).toMatchObject({ extensions: ['one', 'two words'] });
    expect(formatCheckpoint(unfaulted(parseCheckpoint(text)))).toBe(text);
  });

  it.each([
    ['nothing', ''],
    ['two lines', 'origin\n5\n'],
    ['no last line feed', SPEC.slice(0, -1)],
    ['an empty origin', SPEC.replace(/^.*\n/, '\n')],
    ['a size with a zero before it', SPEC.replace('\n2', '\n02')],
    ['a negative size', SPEC.replace('\n2', '\n-2')],
    ['a size in hexadecimal', SPEC.replace('20852163', '0x10')],
    ['a size beyond counting', SPEC.replace('20852163', '9007199254740993')],
    ['an endless size', SPEC.replace('20852163', '1'.repeat(100_000))],
    ['a root of 31 bytes', SPEC.replace(/C.*$/m, Buffer.alloc(31).toString('base64'))],
    ['a root without padding', SPEC.replace('2I=', '2I')],
    ['a root with bits that mean nothing', SPEC.replace('2I=', '2J=')],
    ['an empty line', `${SPEC}\nmore\n`],
  ])('of %s is refused', (_, text) => {
    expect(parseCheckpoint(text)).toEqual({ fault: expect.stringMatching(/checkpoint/) });
  });

  it('is read or refused, never thrown at, whatever comes', () => {
    const seed = printedSeed('checkpoints of any text');
    const lines = fc.oneof(fc.string(), fc.constantFrom('', '0', '7', 'origin', Buffer.alloc(32).toString('base64')));
    fc.assert(
      fc.property(fc.array(lines, { maxLength: 6 }), (parts) => {
        const text = parts.map((part) => `${part}\n`).join('');
        const checkpoint = parseCheckpoint(text);
        if (!isFault(checkpoint)) expect(formatCheckpoint(checkpoint)).toBe(text);
      }),
      { seed, numRuns: 2000 },
    );
  });
});

describe('a signed checkpoint', () => {
  it('says who of the log and which witnesses have signed it, and when', () => {
    expect(openCheckpoint(signed(TEXT, LOG_KEY, WITNESS), [LOG_KEY, WITNESS])).toMatchObject({
      origin: ORIGIN,
      size: 3,
      signedBy: [{ id: LOG_KEY.id }],
      cosignatures: [{ key: { name: WITNESS.name }, time: 1_679_315_147 }],
    });
  });

  it('holds by the old key and by the new one while they overlap', () => {
    const note = signed(TEXT, LOG_KEY, NEXT_LOG_KEY);
    for (const keys of [[LOG_KEY], [NEXT_LOG_KEY], [LOG_KEY, NEXT_LOG_KEY]]) {
      expect(openCheckpoint(note, keys)).toMatchObject({ signedBy: keys.map(({ id }) => ({ id })) });
    }
    expect(openCheckpoint(signed(TEXT, NEXT_LOG_KEY), [LOG_KEY])).toHaveProperty('fault');
  });

  it('is not proved by a witness alone, nor by another log that is trusted', () => {
    expect(openCheckpoint(signed(TEXT, WITNESS), [LOG_KEY, WITNESS])).toEqual({
      fault: `No known key of ${ORIGIN} has signed the checkpoint`,
    });
    const otherLog = signingKey('log.example/other', SIGNATURE_TYPE.note, LOG_KEY.seed);
    expect(openCheckpoint(signed(TEXT, otherLog), [LOG_KEY, otherLog])).toHaveProperty('fault');
  });

  it('that is no checkpoint is refused, whoever signed it', () => {
    expect(openCheckpoint(signed('words\n', LOG_KEY), [LOG_KEY])).toHaveProperty('fault');
  });
});

describe('two heads of a tree', () => {
  const tree = new MemoryTree();
  tree.append(someLeaves(10));
  const head = (size: number) => ({ size, root: tree.root(size) });
  const proof = (from: number, to: number) => unfaulted(consistencyProof(from, to, tree.read));
  const forged = { size: 10, root: new Uint8Array(32).fill(4) };

  it('are the same, or one has grown from the other', () => {
    expect(compareHeads(head(7), head(7), [])).toBe('same');
    expect(compareHeads(head(7), head(10), proof(7, 10))).toBe('grown');
  });

  it('show history that was cut, told in two ways, or written anew', () => {
    expect(compareHeads(head(10), head(7), proof(7, 10))).toBe('truncated');
    expect(compareHeads(head(10), forged, [])).toBe('split');
    expect(compareHeads(head(7), forged, proof(7, 10))).toBe('rewritten');
    expect(compareHeads(head(7), head(10), proof(6, 10))).toBe('rewritten');
    expect(compareHeads(head(7), head(10), [])).toBe('rewritten');
  });

  it('of two logs have nothing to do with each other', () => {
    const checkpoint = (origin: string, size: number) => ({ ...head(size), origin, extensions: [] });
    expect(compareCheckpoints(checkpoint('a', 7), checkpoint('a', 10), proof(7, 10))).toBe('grown');
    expect(compareCheckpoints(checkpoint('a', 7), checkpoint('b', 10), proof(7, 10))).toBe('other-log');
  });
});
