import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cosignatureTime } from '../../events/cosignature.ts';
import { isFault } from '../../events/fault.ts';
import { formatNote, openNote, parseNote, signText } from '../../events/note.ts';
import {
  formatSigningKey,
  formatVerifierKey,
  parseSigningKey,
  parseVerifierKey,
  SIGNATURE_TYPE,
  signingKey,
  verifierKey,
} from '../../events/note-keys.ts';
import { printedSeed } from '../support/seed.ts';
import { unfaulted } from '../support/unfaulted.ts';

// The example of C2SP signed-note, https://c2sp.org/signed-note, "Verifier keys".
const SPEC_KEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
const SPEC_NOTE =
  'This is an example message.\n\n' +
  '— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n';

// RFC 8032, section 7.1, test 1: a secret key and its public key.
const RFC_SEED = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
const RFC_PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';

const log = signingKey('log.example/main', SIGNATURE_TYPE.note, RFC_SEED);
const witness = signingKey('witness.example/w1', SIGNATURE_TYPE.cosignature, new Uint8Array(32).fill(7));
const TEXT = 'log.example/main\n3\nbZ9YCzPQ7N0aJzXs5p1Rj0vd7T3Xk3Y2nQ1xY8Q2h3A=\n';
const NOTE = formatNote({ text: TEXT, signatures: [signText(TEXT, log, 0), signText(TEXT, witness, 1_679_315_147)] });

const key = (text: string) => unfaulted(parseVerifierKey(text));

/** node:crypto's own form of an Ed25519 secret: the fixed head of RFC 8410, and the seed. */
function nodePrivateKey(seed: Uint8Array) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

describe('a verifier key', () => {
  it('is that of RFC 8032 for its secret', () => {
    expect(Buffer.from(log.publicKey).toString('hex')).toBe(RFC_PUBLIC);
  });

  it('of the specification is read and written as it is', () => {
    expect(formatVerifierKey(key(SPEC_KEY))).toBe(SPEC_KEY);
    expect(key(SPEC_KEY)).toMatchObject({ name: 'example.com/foo', id: '530d903a', type: 1 });
  });

  it('has another id as a cosigner', () => {
    expect(verifierKey(log.name, SIGNATURE_TYPE.cosignature, log.publicKey).id).not.toBe(log.id);
  });

  it('cut or with any character changed is refused', () => {
    for (let from = 0; from < SPEC_KEY.length; from++) {
      for (let to = from + 1; to <= SPEC_KEY.length; to++) {
        if (to - from < SPEC_KEY.length) expect(isFault(parseVerifierKey(SPEC_KEY.slice(from, to)))).toBe(true);
      }
      const other = String.fromCharCode(SPEC_KEY.charCodeAt(from) + 1);
      expect(isFault(parseVerifierKey(SPEC_KEY.slice(0, from) + other + SPEC_KEY.slice(from + 1)))).toBe(true);
    }
  });

  it.each([
    ['an unknown kind of signature', Uint8Array.of(0x02, ...new Uint8Array(32))],
    ['a byte too many', Uint8Array.of(0x01, ...new Uint8Array(33))],
  ])('with %s is refused', (_, material) => {
    expect(parseVerifierKey(`a+00000000+${Buffer.from(material).toString('base64')}`)).toHaveProperty('fault');
  });

  it('without a name, with a space in it, or endless is refused', () => {
    for (const name of ['', 'two words', 'a\u2003b', 'line\nend', 'x'.repeat(100_000)]) {
      expect(parseVerifierKey(SPEC_KEY.replace('example.com/foo', name))).toHaveProperty('fault');
    }
  });
});

describe('a signing key', () => {
  it('is written and read again', () => {
    expect(parseSigningKey(formatSigningKey(witness))).toEqual(witness);
  });

  it('cut, or taken for a public one, is refused', () => {
    const text = formatSigningKey(log);
    for (let length = 0; length < text.length; length++) {
      expect(parseSigningKey(text.slice(0, length))).toHaveProperty('fault');
    }
    expect(parseVerifierKey(text)).toHaveProperty('fault');
    expect(parseSigningKey(formatVerifierKey(log))).toHaveProperty('fault');
  });
});

describe('a signed note', () => {
  it('of the specification is verified by its key', () => {
    expect(openNote(SPEC_NOTE, [key(SPEC_KEY)])).toMatchObject({ text: 'This is an example message.\n', unknown: [] });
  });

  it('is verified by node:crypto, and the other way about', () => {
    const privateKey = nodePrivateKey(RFC_SEED);
    const { bytes } = signText(TEXT, log, 0);
    expect(verify(null, Buffer.from(TEXT), createPublicKey(privateKey), bytes)).toBe(true);
    const signature = { name: log.name, keyId: log.id, bytes: sign(null, Buffer.from(TEXT), privateKey) };
    expect(isFault(openNote(formatNote({ text: TEXT, signatures: [signature] }), [log]))).toBe(false);
  });

  it('tells which keys have signed it and which signatures prove nothing', () => {
    const opened = openNote(NOTE, [witness]);
    expect(opened).toMatchObject({ text: TEXT, verified: [{ key: { name: witness.name } }] });
    expect(opened).toMatchObject({ unknown: [{ name: log.name, keyId: log.id }] });
  });

  it('keeps blank lines of its text', () => {
    const text = 'one\n\n\ntwo\n\n';
    expect(openNote(formatNote({ text, signatures: [signText(text, log, 0)] }), [log])).toMatchObject({ text });
  });

  it('counts a key once, however often it signed', () => {
    const signature = signText(TEXT, log, 0);
    const opened = openNote(formatNote({ text: TEXT, signatures: [signature, signature] }), [log]);
    expect(opened).toMatchObject({ verified: { length: 1 } });
  });

  it('is refused whole when one known key has not signed it', () => {
    const wrong = { ...signText('another\n', log, 0) };
    const note = formatNote({ text: TEXT, signatures: [signText(TEXT, witness, 1), wrong] });
    expect(openNote(note, [log, witness])).toEqual({
      fault: `The signature by ${log.name}+${log.id} is not right`,
    });
  });

  it('is refused without a signature by a known key, also by one of the same name or the same id', () => {
    expect(openNote(NOTE, [])).toHaveProperty('fault');
    const sameName = signingKey(log.name, SIGNATURE_TYPE.note, new Uint8Array(32).fill(1));
    expect(openNote(NOTE, [sameName, { ...log, name: 'another' }])).toHaveProperty('fault');
  });

  it.each([
    ['no signature', TEXT],
    ['nothing after the blank line', `${TEXT}\n`],
    ['a line cut short', NOTE.slice(0, -1)],
    ['a line that is no signature', `${NOTE}more\n`],
    ['a control character', `\u0001${NOTE}`],
    ['a carriage return', NOTE.replaceAll('\n', '\r\n')],
    ['half a character', `\ud800${NOTE}`],
    ['a name of two words', NOTE.replace('log.example/main ', 'log.example main ')],
    ['a hyphen for the dash', NOTE.replaceAll('— ', '- ')],
    ['a key id alone', `${TEXT}\n— name AAAAAA==\n`],
    ['base64 without padding', NOTE.replace(/=+\n$/, '\n')],
    ['101 signatures', `${TEXT}\n${'— name AAAAAAA=\n'.repeat(101)}`],
    ['two million characters', `${'x'.repeat(2_000_000)}\n${NOTE}`],
  ])('with %s is refused, with a reason', (_, note) => {
    expect(openNote(note, [log, witness])).toEqual({ fault: expect.stringMatching(/\w{3}/) });
  });

  it('with any character changed is refused', () => {
    const seed = printedSeed('a note with a character changed');
    const place = fc.nat(NOTE.length - 1);
    fc.assert(
      fc.property(place, fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), (at, character) => {
        const changed = NOTE.slice(0, at) + character + NOTE.slice(at + 1);
        fc.pre(changed !== NOTE);
        const opened = openNote(changed, [log, witness]);
        // A changed name or id makes a signature an unknown one; the other still holds, over the same text.
        expect(isFault(opened) || (opened.text === TEXT && opened.verified.length === 1)).toBe(true);
      }),
      { seed, numRuns: 300 },
    );
  });

  it('is read or refused, never thrown at, whatever comes', () => {
    const seed = printedSeed('notes of any text');
    const parts = fc.constantFrom('\n', '\n\n', '— ', 'name', ' ', 'AAAAAAA=', '+', '\0', '\ud800', 'é', TEXT);
    fc.assert(
      fc.property(fc.array(parts, { maxLength: 20 }), (pieces) => {
        const parsed = parseNote(pieces.join(''));
        if (!isFault(parsed)) expect(formatNote(parsed)).toBe(pieces.join(''));
      }),
      { seed, numRuns: 2000 },
    );
  });

  it('is not made of a text that cannot be one', () => {
    for (const text of ['', 'no newline', 'tab\there\n', '\ud800\n']) {
      expect(() => signText(text, log, 0)).toThrow(RangeError);
    }
  });
});

describe('a cosignature', () => {
  it('says when: it signs the time and the text (C2SP tlog-cosignature)', () => {
    const { bytes } = signText(TEXT, witness, 1_679_315_147);
    expect(cosignatureTime(bytes)).toBe(1_679_315_147);
    const message = Buffer.from(`cosignature/v1\ntime 1679315147\n${TEXT}`);
    expect(verify(null, message, createPublicKey(nodePrivateKey(witness.seed)), bytes.subarray(8))).toBe(true);
    expect(isFault(openNote(NOTE, [witness]))).toBe(false);
  });

  it('with another time is refused', () => {
    const signature = signText(TEXT, witness, 1000);
    signature.bytes[7] = (signature.bytes[7] ?? 0) + 1;
    expect(openNote(formatNote({ text: TEXT, signatures: [signature] }), [witness])).toHaveProperty('fault');
  });

  it('does not pass for a signature of the text, nor a signature for it', () => {
    const asNote = verifierKey('same', SIGNATURE_TYPE.note, witness.publicKey);
    const asWitness = verifierKey('same', SIGNATURE_TYPE.cosignature, witness.publicKey);
    const { bytes } = signText(TEXT, witness, 1);
    const plain = signText(TEXT, signingKey('same', SIGNATURE_TYPE.note, witness.seed), 0);
    const signed = (id: string, signature: Uint8Array) =>
      formatNote({ text: TEXT, signatures: [{ name: 'same', keyId: id, bytes: signature }] });
    expect(openNote(signed(asNote.id, bytes.subarray(8)), [asNote])).toHaveProperty('fault');
    expect(openNote(signed(asWitness.id, plain.bytes), [asWitness])).toHaveProperty('fault');
  });

  it('has a time that can be counted', () => {
    expect(cosignatureTime(new Uint8Array(72).fill(255))).toBeNull();
    expect(cosignatureTime(new Uint8Array(64))).toBeNull();
  });
});
