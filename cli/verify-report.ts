import { toBase64 } from '../events/bytes.ts';
import type { Checkpoint } from '../events/checkpoint.ts';
import type { Findings } from '../events/finding.ts';
import type { VerifierKey } from '../events/note-keys.ts';
import { paint, plain, print } from './io.ts';

/** What was verified. */
export interface Summary {
  readonly checkpoint: Checkpoint | null;
  readonly streams: number;
  readonly events: number;
  /** Of a server: states that were compared, streams that the caller is not shown, and those that nobody is, by type. */
  readonly states?: number;
  readonly notShown?: number;
  readonly notLookedAt?: Readonly<Record<string, number>>;
  /** Of a file: whether it was read to its end. */
  readonly isWhole?: boolean;
}

/** Says what became of one stream. */
export function tellStream(stream: string, events: number, isVerified: boolean): void {
  const mark = isVerified ? paint('green', '✓') : paint('red', '✗');
  process.stdout.write(`${mark} ${plain(stream)}, ${counted(events, 'event')}\n`);
}

/** Says what was found. */
export async function report(
  summary: Summary,
  findings: Findings,
  keys: readonly VerifierKey[],
  isJson: boolean,
): Promise<void> {
  const isVerified = findings.list.length === 0;
  const { checkpoint, ...counts } = summary;
  if (isJson) {
    const head = checkpoint && { origin: checkpoint.origin, size: checkpoint.size, root: toBase64(checkpoint.root) };
    const { list, more } = findings;
    await print(
      JSON.stringify({ verified: isVerified, ...counts, checkpoint: head, findings: list, moreFindings: more }),
    );
    return;
  }
  for (const { code, message } of findings.list) await print(`${paint('red', code)}  ${plain(message)}`);
  if (findings.more > 0) await print(`… and ${findings.more} more`);
  const { streams, events, states, notShown, notLookedAt = {}, isWhole } = counts;
  if (isWhole === false) await print('The rest was not read.');
  const what = [
    `${counted(streams, 'stream')}, ${counted(events, 'event')}`,
    ...(states === undefined ? [] : [`${counted(states, 'state')} compared`]),
    ...(notShown ? [`${counted(notShown, 'stream')} in the log not shown to you`] : []),
    ...Object.entries(notLookedAt).map(([type, count]) => `${counted(count, `${plain(type)} stream`)} not looked at`),
    ...(checkpoint ? [`checkpoint of size ${checkpoint.size} of ${plain(checkpoint.origin)}`] : []),
  ].join(', ');
  await print(isVerified ? `${paint('green', 'verified')}: ${what}` : `${paint('red', 'NOT VERIFIED')}: ${what}`);
  if (keys.length === 0 && findings.list.some(({ code }) => code === 'key-not-trusted')) {
    await print('No key was given. If you know the one above from elsewhere, name it with --key.');
  }
}

/** A number and what it is of, which has an s where it is not one. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
