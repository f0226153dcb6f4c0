import { ByteLines } from './byte-lines.ts';
import { BundleVerifier, type Trust, type Verdict } from './verify.ts';

/**
 * Verifies a proof bundle as its bytes come: from a file, a pipe or a response. However long it is, and whatever is in
 * it, one line is held at a time, and no line that is too long; after such a line no more is read.
 */
export async function verifyStream(chunks: AsyncIterable<Uint8Array>, trust: Trust): Promise<Verdict> {
  const verifier = new BundleVerifier(trust);
  const lines = new ByteLines((line) => verifier.line(line));
  for await (const chunk of chunks) if (!lines.push(chunk)) break;
  lines.end();
  return verifier.end();
}
