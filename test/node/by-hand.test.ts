import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { formatHeader } from '../../events/bundle.ts';
import { formatNote, signText } from '../../events/note.ts';
import { formatVerifierKey, SIGNATURE_TYPE, signingKey } from '../../events/note-keys.ts';
import { HeadLog, LOG_KEY, NEXT_LOG_KEY, Stream, WITNESS, world } from '../support/proof-world.ts';

/** What the machine has to have, in the words of the document: bash and OpenSSL 3. */
function hasTools(): boolean {
  try {
    execFileSync('bash', ['-c', 'true']);
    return /^OpenSSL [3-9]/.test(execFileSync('openssl', ['version'], { encoding: 'utf8' }));
  } catch {
    return false;
  }
}

const [, script] = /## By hand[\s\S]*?```bash\n([\s\S]*?)```/.exec(readFileSync('docs/protocol.md', 'utf8')) ?? [];
const folder = mkdtempSync(join(tmpdir(), 'by-hand-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs the script of the document on a bundle. */
function verifyByHand(bundle: readonly string[], key = LOG_KEY): Promise<{ status: number; output: string }> {
  const file = join(folder, 'bundle.ndjson');
  writeFileSync(file, bundle.map((line) => `${line}\n`).join(''));
  writeFileSync(join(folder, 'verify.sh'), script ?? 'exit 99');
  return new Promise((resolve) => {
    execFile('bash', [join(folder, 'verify.sh'), file, formatVerifierKey(key)], (error, stdout, stderr) => {
      resolve({ status: Number(error?.code ?? 0), output: (stdout + stderr).trim() });
    });
  });
}

const { log, stream } = world([1, 3, 6, 11]);
const bundle = log.bundle(stream, [LOG_KEY, NEXT_LOG_KEY, WITNESS]);

it('is a script that the document has', () => {
  expect(script?.trim().split('\n').length).toBeLessThan(45);
});

describe.skipIf(!hasTools())('the script of docs/protocol.md, with bash and OpenSSL alone,', () => {
  it('verifies a bundle, by the old key and the new', async () => {
    const verified = { status: 0, output: 'verified: context/ctx_ONE, 11 events' };
    expect(await verifyByHand(bundle)).toEqual(verified);
    expect(await verifyByHand(bundle, NEXT_LOG_KEY)).toEqual(verified);
  });

  it('verifies one event in a log of one', async () => {
    const [lone, loneLog] = [new Stream('context/ctx_LONE'), new HeadLog()];
    lone.append({ name: 'alone' });
    loneLog.record(lone);
    expect(await verifyByHand(loneLog.bundle(lone))).toEqual({
      status: 0,
      output: 'verified: context/ctx_LONE, 1 events',
    });
  });

  it('says which event was altered', async () => {
    const altered = bundle.map((line, version) => (version === 4 ? line.replace('words', 'Words') : line));
    expect(await verifyByHand(altered)).toEqual({ status: 1, output: 'version 4 was altered' });
  });

  it('finds an event that is missing', async () => {
    for (const version of [1, 5, 11]) {
      expect(await verifyByHand(bundle.toSpliced(version, 1))).toEqual({
        status: 1,
        output: 'the log does not hold these events',
      });
    }
  });

  it('does not run what the bundle says', async () => {
    const proof = join(folder, 'ran');
    const command = `a[$(touch ${proof})]`;
    for (const line of [
      (bundle[0] ?? '').replace(/"index":\d+(?=[^{]*"keys")/, `"index":${command}`),
      (bundle[0] ?? '').replace(/"proof":\["\w+"(?=[^{]*"keys")/, `"proof":["${command}"`),
    ]) {
      expect(line).not.toBe(bundle[0]);
      expect(await verifyByHand(bundle.with(0, line))).toEqual({
        status: 1,
        output: 'the first line is not that of a bundle',
      });
    }
    const text = `${LOG_KEY.name}\n${command}\nAAAA\n`;
    const checkpoint = formatNote({ text, signatures: [signText(text, LOG_KEY, 0)] });
    const signed = formatHeader({ ...log.header(stream), checkpoint });
    expect(await verifyByHand(bundle.with(0, signed))).toEqual({ status: 1, output: 'the log is empty' });
    expect(existsSync(proof)).toBe(false);
  });

  it('takes no other key', async () => {
    const output = 'the checkpoint is not signed with this key';
    const stranger = signingKey(LOG_KEY.name, SIGNATURE_TYPE.note, new Uint8Array(32).fill(50));
    expect(await verifyByHand(bundle, stranger)).toEqual({ status: 1, output });
    const forged = bundle.with(0, (bundle[0] ?? '').replace('\\n12\\n', '\\n13\\n'));
    expect(await verifyByHand(forged)).toEqual({ status: 1, output });
    expect(bundle[0]).not.toBe(forged[0]);
  });
});
