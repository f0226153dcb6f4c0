import { concatBytes } from '@noble/hashes/utils.js';
import { BundleVerifier, type Trust, type Verdict } from './verify.ts';

/** Bytes of a line at most: of the longest event, if each of its characters took three. */
const LINE_MAX = 6 * 1024 * 1024;

const LINE_FEED = 0x0a;

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

/**
 * Verifies a proof bundle as its bytes come: from a file, a pipe or a response. However long it is, and whatever is in
 * it, one line is held at a time, and no line that is too long; after such a line no more is read.
 */
export async function verifyStream(chunks: AsyncIterable<Uint8Array>, trust: Trust): Promise<Verdict> {
  const verifier = new BundleVerifier(trust);
  let begun: Uint8Array[] = [];
  let length = 0;
  const take = (part: Uint8Array) => {
    begun.push(part);
    length += part.length;
  };
  const finish = () => {
    const [only, ...more] = begun;
    if (only) takeLine(verifier, more.length > 0 ? concatBytes(...begun) : only);
    [begun, length] = [[], 0];
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      take(chunk.subarray(start, end));
      finish();
      start = end + 1;
    }
    // A copy: whoever reads may use the chunk's memory again.
    if (start < chunk.length) take(chunk.slice(start));
    if (length > LINE_MAX) {
      verifier.line('', { fault: `it is longer than ${LINE_MAX} bytes` });
      return verifier.end();
    }
  }
  finish();
  return verifier.end();
}

function takeLine(verifier: BundleVerifier, bytes: Uint8Array): void {
  const text = decoded(bytes);
  if (text === null) verifier.line(lenient.decode(bytes), { fault: 'it is not UTF-8' });
  else verifier.line(text);
}

function decoded(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}
