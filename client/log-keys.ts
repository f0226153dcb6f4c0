import { z } from 'zod';
import { type Fault, isFault } from '../events/fault.ts';
import { parseVerifierKey, type VerifierKey } from '../events/note-keys.ts';

/** What `GET /log/keys` answers, of which only the keys are looked at. */
const answerSchema = z.object({
  keys: z.array(z.object({ key: z.string() })),
  witnesses: z.array(z.string()).optional(),
});

/** Reads verifier keys: one a line, or what `GET /log/keys` answers. */
export function readKeys(text: string): VerifierKey[] | Fault {
  const lines = text.trimStart().startsWith('{') ? keysOfAnswer(text) : text.split('\n').map((line) => line.trim());
  if (isFault(lines)) return lines;
  const keys: VerifierKey[] = [];
  for (const line of lines.filter((each) => each !== '' && !each.startsWith('#'))) {
    const key = parseVerifierKey(line);
    if (isFault(key)) return { fault: `${key.fault}: ${line.slice(0, 80)}` };
    keys.push(key);
  }
  return keys.length > 0 ? keys : { fault: 'There is no key in it' };
}

function keysOfAnswer(text: string): string[] | Fault {
  try {
    const { keys, witnesses = [] } = answerSchema.parse(JSON.parse(text));
    return [...keys.map(({ key }) => key), ...witnesses];
  } catch {
    return { fault: 'It is not what /log/keys answers' };
  }
}
