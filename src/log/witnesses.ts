import type { Witness, WitnessAnswer } from '../../actors/witnesses.ts';
import { isFault } from '../../events/fault.ts';
import { parseVerifierKey, SIGNATURE_TYPE } from '../../events/note-keys.ts';

/** How long a witness may take to answer, in milliseconds. */
const TIMEOUT_MS = 10_000;
/** Characters of an answer at most. */
const ANSWER_MAX = 16 * 1024;
/** The media type of an answer that names a size (C2SP tlog-witness). */
const SIZE_TYPE = 'text/x.tlog.size';

/**
 * Reads WITNESSES: `<verifier key> <URL>`, one witness a line or between commas.
 *
 * @throws when one of them cannot be read: a witness that is wanted and never asked would be missed by nobody
 */
export function witnessesOf(setting: string | undefined): Witness[] {
  const lines = (setting ?? '').split(/[\n,]/).map((line) => line.trim());
  return lines.filter((line) => line !== '').map(witnessOf);
}

function witnessOf(line: string): Witness {
  const [text = '', url = '', ...more] = line.split(/\s+/);
  const key = parseVerifierKey(text);
  if (isFault(key)) throw new Error(`WITNESSES: ${key.fault}: ${line}`);
  if (key.type !== SIGNATURE_TYPE.cosignature) throw new Error(`WITNESSES: this is not the key of a witness: ${line}`);
  if (!URL.canParse(url) || more.length > 0) throw new Error(`WITNESSES: a key and a URL are wanted: ${line}`);
  return { key, ask: (body) => askWitness(url, body) };
}

async function askWitness(url: string, body: string): Promise<WitnessAnswer> {
  const response = await fetch(`${url.replace(/\/$/, '')}/add-checkpoint`, {
    method: 'POST',
    body,
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const text = await readText(response);
  if (response.status === 200) return { lines: text };
  const isSize = response.headers.get('Content-Type')?.split(';')[0] === SIZE_TYPE && /^\d{1,15}\n$/.test(text);
  if (response.status === 409 && isSize) return { size: Number(text) };
  throw new Error(`it answered ${response.status}: ${text.slice(0, 200)}`);
}

/** The text of an answer. @throws when it is too long */
async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > ANSWER_MAX) throw new Error('its answer is too long');
  }
  return text;
}
