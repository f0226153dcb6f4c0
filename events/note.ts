import { ed25519 } from '@noble/curves/ed25519.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { fromBase64, toBase64 } from './bytes.ts';
import { cosign, verifyCosignature } from './cosignature.ts';
import { type Fault, isFault } from './fault.ts';
import { isKeyName, SIGNATURE_TYPE, type SigningKey, type VerifierKey } from './note-keys.ts';

/** A signature of a note, by whomever. */
export interface NoteSignature {
  /** The name of the key. */
  readonly name: string;
  /** The id of the key: 8 hexadecimal digits. */
  readonly keyId: string;
  /** What the key's signature type says they are. */
  readonly bytes: Uint8Array;
}

/** A text and its signatures, none of which has been verified (C2SP signed-note). */
interface Note {
  /** Ends with a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** A signature that was verified, and by which key. */
interface VerifiedSignature {
  readonly key: VerifierKey;
  readonly bytes: Uint8Array;
}

/** A note that at least one known key has signed. */
export interface OpenedNote {
  readonly text: string;
  /** One for each key, in the note's order; never empty. */
  readonly verified: readonly VerifiedSignature[];
  /** The signatures by keys that are not known: they prove nothing. */
  readonly unknown: readonly NoteSignature[];
}

/** Characters of a note at most: a bound on memory, far beyond any checkpoint. */
const NOTE_MAX = 1024 * 1024;
/** Signatures of a note at most; C2SP asks for 16 at least. */
const SIGNATURES_MAX = 100;
/** What a signature line begins with: an em dash and a space. */
const LINE_PREFIX = '\u2014 ';
/** Bytes of a key's id, which stand before the signature. */
const ID_BYTES = 4;
/** Bytes of an Ed25519 signature. */
const SIGNATURE_BYTES = 64;

/** Writes a note: text, blank line, one line for each signature. */
export function formatNote({ text, signatures }: Note): string {
  const lines = signatures.map(
    ({ name, keyId, bytes }) => `${LINE_PREFIX}${name} ${toBase64(concatBytes(hexToBytes(keyId), bytes))}\n`,
  );
  return `${text}\n${lines.join('')}`;
}

/** Reads a note without verifying anything. The last blank line divides text and signatures. */
export function parseNote(note: string): Note | Fault {
  if (note.length > NOTE_MAX) return { fault: 'The note is too long' };
  if (!isNoteText(note)) return { fault: 'The note has control characters or characters that are not Unicode' };
  const split = note.lastIndexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) return { fault: 'A note is a text, a blank line, and lines of signatures' };
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > SIGNATURES_MAX) return { fault: `The note has more than ${SIGNATURES_MAX} signatures` };
  const signatures: NoteSignature[] = [];
  for (const line of lines) {
    const signature = parseSignature(line);
    if (isFault(signature)) return signature;
    signatures.push(signature);
  }
  return { text: note.slice(0, split + 1), signatures };
}

/**
 * Signs a text.
 *
 * @param text ends with a newline
 * @param time for cosignatures: seconds since 1970
 * @throws RangeError when the text cannot be that of a note
 */
export function signText(text: string, key: SigningKey, time: number): NoteSignature {
  if (!text.endsWith('\n') || text.length > NOTE_MAX || !isNoteText(text)) {
    throw new RangeError('The text of a note is whole lines of printable characters');
  }
  const isCosignature = key.type === SIGNATURE_TYPE.cosignature;
  const bytes = isCosignature ? cosign(text, key.seed, time) : ed25519.sign(utf8ToBytes(text), key.seed);
  return { name: key.name, keyId: key.id, bytes };
}

/**
 * Reads a note and verifies it with the keys that are known. As C2SP signed-note demands, signatures by other keys are
 * passed over, one by a known key that is wrong spoils the whole note, and so does the want of any by a known key.
 */
export function openNote(note: string, keys: readonly VerifierKey[]): OpenedNote | Fault {
  const parsed = parseNote(note);
  if (isFault(parsed)) return parsed;
  const verified = new Map<VerifierKey, VerifiedSignature>();
  const unknown: NoteSignature[] = [];
  for (const signature of parsed.signatures) {
    const key = keys.find(({ name, id }) => name === signature.name && id === signature.keyId);
    if (!key) unknown.push(signature);
    else if (!verifySignature(parsed.text, signature.bytes, key)) {
      return { fault: `The signature by ${key.name}+${key.id} is not right` };
    } else if (!verified.has(key)) verified.set(key, { key, bytes: signature.bytes });
  }
  if (verified.size === 0) return { fault: 'The note has no signature by a key that is known' };
  return { text: parsed.text, verified: [...verified.values()], unknown };
}

function verifySignature(text: string, signature: Uint8Array, key: VerifierKey): boolean {
  if (key.type === SIGNATURE_TYPE.cosignature) return verifyCosignature(text, signature, key.publicKey);
  // RFC 8032 to the letter, as openssl and Go verify: not the laxer rule that is noble's default.
  const strict = { zip215: false };
  return signature.length === SIGNATURE_BYTES && ed25519.verify(signature, utf8ToBytes(text), key.publicKey, strict);
}

function parseSignature(line: string): NoteSignature | Fault {
  const [name, encoded, ...more] = line.slice(LINE_PREFIX.length).split(' ');
  if (!line.startsWith(LINE_PREFIX) || name === undefined || encoded === undefined || more.length > 0) {
    return { fault: 'A line of signature is an em dash, a key name and base64' };
  }
  if (!isKeyName(name)) return { fault: 'A signature has a key name that cannot be one' };
  const bytes = fromBase64(encoded);
  if (!bytes || bytes.length <= ID_BYTES)
    return { fault: `The signature by ${name} is not base64 of a key id and more` };
  return { name, keyId: bytesToHex(bytes.subarray(0, ID_BYTES)), bytes: bytes.slice(ID_BYTES) };
}

/** Whether a text is Unicode without control characters other than newlines. */
function isNoteText(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  return text.isWellFormed() && !/[\0-\x09\x0b-\x1f]/.test(text);
}
