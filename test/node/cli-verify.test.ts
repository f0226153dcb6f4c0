import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readInput } from '../../cli/input.ts';
import { formatVerifierKey } from '../../events/note-keys.ts';
import { runCli } from '../support/cli.ts';
import { HeadLog, LOG_KEY, Stream, WITNESS, world } from '../support/proof-world.ts';

const folder = mkdtempSync(join(tmpdir(), 'chittyconnect-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const text = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');
const KEY = formatVerifierKey(LOG_KEY);

const { log, stream, other } = world([3, 9]);
const bundle = log.bundle(stream);
const whole = text([...bundle, ...log.bundle(other)]);
const path = file('export.ndjson', whole);
const earlierNote = file('earlier.note', log.checkpoint());

interface Verdict {
  readonly verified: boolean;
  readonly findings: readonly { code: string; stream: string | null; version: number | null }[];
}

/** Verifies what is piped in. @returns what was found, as words */
async function verify(input: string | Uint8Array, ...options: string[]): Promise<string[]> {
  const { status, stdout, stderr } = await runCli(['verify', '-', '--key', KEY, '--json', ...options], { input });
  if (stdout === '') throw new Error(`no verdict: ${stderr}`);
  const { verified, findings }: Verdict = JSON.parse(stdout);
  expect({ verified, status }).toEqual({ verified: findings.length === 0, status: findings.length === 0 ? 0 : 1 });
  return findings.map(({ code, stream: name, version }) =>
    [code, name, version].filter((part) => part !== null).join(' '),
  );
}

describe('chittyconnect verify, of a file', () => {
  it('says that it is verified, and ends with 0', async () => {
    expect(await runCli(['verify', path, '--key', KEY])).toEqual({
      status: 0,
      stdout:
        '✓ context/ctx_ONE, 9 events\n✓ context/ctx_TWO, 9 events\n' +
        'verified: 2 streams, 18 events, checkpoint of size 6 of log.example/contexts\n',
      stderr: '',
    });
  });

  it('says which event of which stream was altered and why, and ends with 1', async () => {
    const altered = file('altered.ndjson', whole.replace('words 4', 'words X'));
    const { status, stdout } = await runCli(['verify', altered, '--key', KEY]);
    expect(status).toBe(1);
    expect(stdout).toContain('✗ context/ctx_ONE, 9 events\n✓ context/ctx_TWO, 9 events\n');
    expect(stdout).toContain('event-altered  context/ctx_ONE version 5: its content is not what was hashed');
    expect(stdout).toContain('NOT VERIFIED: 2 streams');
  });

  it('trusts no key that it was not given, and names the one that it would need', async () => {
    const { status, stdout } = await runCli(['verify', path]);
    expect(status).toBe(1);
    expect(stdout).toContain(`key-not-trusted  The checkpoint is signed by a key that you do not trust: ${KEY}`);
  });

  it('takes keys from a file, and what /log/keys answers', async () => {
    const lines = file('keys.txt', `# mine\n${formatVerifierKey(WITNESS)}\n${KEY}\n`);
    const answer = file(
      'keys.json',
      JSON.stringify({ origin: 'x', keys: [{ key: KEY, status: 'signing' }], witnesses: [] }),
    );
    for (const keys of [lines, answer]) expect((await runCli(['verify', path, '--key', keys])).status).toBe(0);
  });

  it('reads pipes, and gzip by itself', async () => {
    expect(await verify(whole)).toEqual([]);
    expect(await verify(gzipSync(whole))).toEqual([]);
    expect(await verify(gzipSync(whole.replace('words 4', 'words X')))).toEqual(['event-altered context/ctx_ONE 5']);
  });

  it('writes no colours where there is no terminal, and nothing that a terminal would act on', async () => {
    const forged = new Stream('context/ctx_ONE');
    forged.append({ name: 'words' });
    const lines = [bundle[0] ?? '', `{"a":"\x1b]0;title\x07"`, ...bundle.slice(2)];
    const { stdout } = await runCli(['verify', '-', '--key', KEY], { input: text(lines) });
    expect(stdout).toContain('event-malformed');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is looked for.
    expect(stdout).not.toMatch(/[\x1b\x07]/);
  });
});

describe('what chittyconnect verify says of bad input', () => {
  it.each([
    ['nothing', '', ['bundle-malformed']],
    ['words', 'some words\n', ['bundle-malformed']],
    ['an HTML page', '<!doctype html>\n<p>Not found\n', ['bundle-malformed']],
    ['bytes that are no text', Uint8Array.from([0x7b, 0xff, 0xfe, 0x0a]), ['bundle-malformed']],
    ['a bundle without its first line', text(bundle.slice(1)), ['bundle-malformed']],
    ['a bundle that is cut', text(bundle.slice(0, -2)), ['event-missing context/ctx_ONE 8']],
    ['a bundle cut in a line', text(bundle).slice(0, -100), ['event-malformed context/ctx_ONE 9']],
    ['another context’s proof', text([...bundle.slice(0, 1), ...other.texts]), undefined],
    [
      'a name twice in its first line',
      text(bundle).replace('"format":', '"format":"x","format":'),
      ['bundle-malformed'],
    ],
    [
      'a name twice in an event',
      text(bundle).replace('"actor":"act_someone"', '"actor":"x","actor":"act_someone"'),
      ['event-malformed context/ctx_ONE 1'],
    ],
  ])('%s', async (_, input, expected) => {
    const found = await verify(input);
    if (expected) expect(found).toEqual(expected);
    else expect(found.filter((each) => each.startsWith('event-of-other-stream'))).toHaveLength(9);
  });

  it('gzip that is cut or damaged', async () => {
    const zipped = gzipSync(whole);
    expect(await verify(zipped.subarray(0, -20))).toContain('input-damaged');
    const damaged = Uint8Array.from(zipped);
    damaged[damaged.length - 10] = (damaged[damaged.length - 10] ?? 0) ^ 0xff;
    expect((await verify(damaged)).length).toBeGreaterThan(0);
  });

  it('a bomb of compressed zeros, and one of empty lines: soon, and in little memory', async () => {
    const size = 128 * 1024 * 1024;
    const zeros = gzipSync(Buffer.alloc(size));
    expect(await verify(zeros)).toEqual(['bundle-malformed']);
    await expect(lengthOf(file('zeros.gz', zeros))).rejects.toThrow('grows to more than');
    const emptyLines = Buffer.concat([gzipSync(`${bundle[0]}\n`), gzipSync(Buffer.alloc(size, '\n'))]);
    const { status, stdout } = await runCli(['verify', '-', '--key', KEY], { input: emptyLines });
    expect(status).toBe(1);
    expect(stdout).toContain('The rest was not read.');
  });
});

/** How many bytes a file has when it is decompressed. */
async function lengthOf(name: string): Promise<number> {
  let length = 0;
  for await (const chunk of readInput(name)) length += chunk.length;
  return length;
}

describe('chittyconnect verify, against what was kept', () => {
  it('finds a log that was rolled back, or split, and says when it cannot tell', async () => {
    const later = world([3, 9, 12]);
    expect(await verify(whole, '--checkpoint', earlierNote)).toEqual([]);
    const before = file('later.note', later.log.checkpoint());
    expect(await verify(whole, '--checkpoint', before)).toEqual(['log-truncated']);
    const split = file('split.note', world([5, 9]).log.checkpoint());
    expect(await verify(whole, '--checkpoint', split)).toEqual(['log-split']);
    expect(await verify(text(later.log.bundle(later.stream)), '--checkpoint', earlierNote)).toEqual([
      'log-not-compared',
    ]);
    const unsigned = file('unsigned.note', log.checkpoint().replace('\n6\n', '\n5\n'));
    expect(await verify(whole, '--checkpoint', unsigned)).toEqual(['checkpoint-invalid']);
  });

  it('finds history that was cut or rewritten since an earlier export', async () => {
    expect(await verify(whole, '--earlier', path)).toEqual([]);
    const grown = world([3, 9]);
    const before = text(grown.log.bundle(grown.stream));
    grown.stream.append({ name: 'one more' });
    grown.log.record(grown.stream);
    const kept = file('kept.ndjson', text(grown.log.bundle(grown.stream)));
    expect(await verify(before, '--earlier', kept)).toEqual(['history-truncated context/ctx_ONE 10']);
    const [fork, forkLog] = [new Stream('context/ctx_ONE'), new HeadLog()];
    for (let version = 1; version <= 9; version++) fork.append({ name: version === 2 ? 'other' : `words ${version}` });
    forkLog.record(fork);
    const forked = file('forked.ndjson', text(forkLog.bundle(fork)));
    expect(await verify(whole, '--earlier', forked)).toEqual(['history-rewritten context/ctx_ONE 1']);
  });

  it('wants as many witnesses as it is told', async () => {
    const witnessed = text(log.bundle(stream, [LOG_KEY, WITNESS]));
    const keys = ['--key', formatVerifierKey(WITNESS), '--witnesses', '1'];
    expect(await verify(witnessed, ...keys)).toEqual([]);
    expect(await verify(text(bundle), ...keys)).toEqual(['witnesses-missing context/ctx_ONE']);
  });
});

describe('chittyconnect, called wrongly,', () => {
  it.each([
    [[]],
    [['frobnicate']],
    [['verify']],
    [['verify', '--frobnicate', 'x']],
    [['verify', join(folder, 'nowhere')]],
    [['verify', folder]],
    [['verify', path, '--key', 'words']],
    [['verify', path, '--witnesses', '-1']],
    [['verify', path, '--checkpoint', join(folder, 'nowhere')]],
    [['verify', path, '--earlier', earlierNote]],
    [['verify', path, '--against', 'ftp://example.com']],
    [['verify', path, '--complete']],
    [['verify', 'http://user:secret@127.0.0.1:9/']],
    [['verify', 'http://127.0.0.1:9', '--against', 'http://127.0.0.1:9']],
    [['verify', 'http://127.0.0.1:9', 'ctx_1']],
    [['export']],
    [['export', 'ctx_1']],
    [['export', '--all', 'ctx_01M882NGZDKH81BX14G0H545ZN']],
    [['export', 'con_01M882NGZDKH81BX14G0H545ZN']],
    [['export', '--all', '--resume']],
    [['export', '--all', '--wait', '61']],
    [['replay']],
    [['replay', path, '--at', 'yesterday']],
    [['replay', path, '--at', '0']],
    [['replay', path, '--at', '9'.repeat(20)]],
    [['diff', path]],
    [['tail', 'ctx_1']],
    [['tail', 'ctx_01M882NGZDKH81BX14G0H545ZN', '--after', '-1']],
    [['export', '--all', '--key-file', join(folder, 'nowhere')]],
  ])('as %j, ends with 2 and says where to look', async (args) => {
    const { status, stdout, stderr } = await runCli(args);
    expect(status).toBe(2);
    expect(stdout + stderr).toContain('--help');
    expect(stdout + stderr).not.toMatch(/\n {4}at |secret/);
  });

  it('and asked for help, prints it and ends with 0', async () => {
    for (const command of ['verify', 'export', 'replay', 'diff', 'tail']) {
      const { status, stdout } = await runCli([command, '--help']);
      expect({ status, isAbout: stdout.startsWith(`chittyconnect ${command} `) }).toEqual({ status: 0, isAbout: true });
    }
    expect(await runCli(['--help'])).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('chittyconnect <command>'),
    });
  });

  it('ends with 3 when the server cannot be reached, and never prints the API key', async () => {
    const environment = { CHITTYCONNECT_API_KEY: 'cck_the-secret-key', CHITTYCONNECT_URL: 'http://127.0.0.1:9' };
    const id = 'ctx_01M882NGZDKH81BX14G0H545ZN';
    for (const args of [
      ['verify', 'http://127.0.0.1:9'],
      ['export', id],
      ['replay', id],
      ['diff', id, id],
      ['tail', id],
    ]) {
      const { status, stdout, stderr } = await runCli(args, { environment });
      expect([args, status]).toEqual([args, 3]);
      expect(stderr).toContain('http://127.0.0.1:9 cannot be reached');
      expect(stdout + stderr).not.toContain('secret');
    }
    const spoilt = await runCli(['export', id], { environment: { CHITTYCONNECT_API_KEY: 'two secret\nwords' } });
    expect(spoilt).toMatchObject({ status: 2, stderr: expect.not.stringContaining('secret') });
  });
});
