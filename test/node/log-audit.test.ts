import { describe, expect, it } from 'vitest';
import { followCheckpoint, type LogTrust } from '../../client/checkpoints.ts';
import { auditLog } from '../../client/log-audit.ts';
import { readKeys } from '../../client/log-keys.ts';
import { type Checkpoint, openCheckpoint } from '../../events/checkpoint.ts';
import { Findings } from '../../events/finding.ts';
import { formatVerifierKey, SIGNATURE_TYPE, signingKey } from '../../events/note-keys.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { naiveLeaf } from '../support/naive-tree.ts';
import { LOG_KEY, WITNESS } from '../support/proof-world.ts';
import { unfaulted } from '../support/unfaulted.ts';

/** A root for a head: any hash will do, told apart by a text. */
const root = (text: string) => naiveLeaf(Buffer.from(text));
const head = (stream: string, size: number, text = '') => ({ stream, size, root: root(`${stream} ${size} ${text}`) });

/** Heads of three streams that grow in turn. */
function heads(from: number, to: number, text = '') {
  return Array.from({ length: to - from }, (_, at) => head(`context/ctx_${(from + at) % 3}`, from + at + 1, text));
}

function logOf(size: number, text = ''): MemoryLog {
  const log = new MemoryLog();
  log.append(heads(0, size, text));
  return log;
}

const checkpointOf = ({ note }: MemoryLog): Checkpoint => unfaulted(openCheckpoint(note ?? '', [LOG_KEY]));

async function audit(log: MemoryLog, trust: Partial<LogTrust> = {}) {
  const findings = new Findings();
  const audited = await auditLog(log, { keys: [LOG_KEY], witnesses: 0, earlier: [], ...trust }, findings);
  return { audited, findings: findings.list, codes: findings.list.map(({ code }) => code) };
}

describe('the audit of a log', () => {
  it('finds nothing in one that is whole, of any size, and gives the heads of each stream', async () => {
    for (const size of [1, 2, 255, 256, 257, 700]) {
      const { audited, codes } = await audit(logOf(size));
      expect([size, codes]).toEqual([size, []]);
      expect(audited.signed?.size).toBe(size);
      const all = [...audited.streams].flatMap(([stream, own]) => own.map((each) => `${stream} ${each.size}`));
      expect(all.sort()).toEqual(
        heads(0, size)
          .map((each) => `${each.stream} ${each.size}`)
          .sort(),
      );
    }
  });

  it('tells a tile that was changed from entries that were', async () => {
    for (const path of ['tile/0/000', 'tile/0/002.p/188', 'tile/1/000.p/2']) {
      const log = logOf(700);
      const bytes = Uint8Array.from(log.files.get(path) ?? []);
      bytes[40] = (bytes[40] ?? 0) ^ 1;
      log.files.set(path, bytes);
      const { findings, audited } = await audit(log);
      expect(findings).toMatchObject([{ code: 'tile-altered', message: expect.stringContaining(path) }]);
      expect(audited.streams.size).toBe(3);
    }
    const log = logOf(300);
    const entries = Buffer.from(log.files.get('tile/entries/001.p/44') ?? []);
    const at = entries.indexOf('"root":"') + 8;
    entries[at] = entries[at] === 0x61 ? 0x62 : 0x61;
    log.files.set('tile/entries/001.p/44', entries);
    const { findings, audited } = await audit(log);
    expect(findings).toMatchObject([{ code: 'entry-altered', message: expect.stringContaining('Entry 256 ') }]);
    // What that entry said is not believed.
    expect(audited.streams.get('context/ctx_1')?.some(({ size }) => size === 257)).toBe(false);
  });

  it('believes no entry when entries and tiles were changed alike', async () => {
    const [log, forged] = [logOf(300), logOf(300, 'forged')];
    for (const [path, bytes] of forged.files) log.files.set(path, bytes);
    const { codes, audited } = await audit(log);
    expect(codes).toEqual(['entry-altered']);
    expect(audited.streams.size).toBe(0);
  });

  it('names what is missing, cut, or no tile', async () => {
    for (const path of ['tile/0/000', 'tile/entries/000', 'tile/entries/001.p/44', 'tile/1/000.p/1']) {
      const log = logOf(300);
      log.files.delete(path);
      expect((await audit(log)).findings).toMatchObject([
        { code: 'tile-missing', message: expect.stringContaining(path) },
      ]);
      const cut = logOf(300);
      cut.files.set(path, cut.files.get(path)?.slice(0, -1) ?? new Uint8Array());
      expect((await audit(cut)).codes).toEqual(['tile-missing']);
    }
  });

  it('names entries that are no heads', async () => {
    const log = logOf(3);
    log.appendEntries(
      ['words', '{"root":"00","size":1,"stream":"context/ctx_1"}', '{ "size": 1 }', '\ud800'].map((text) =>
        Buffer.from(text),
      ),
    );
    expect((await audit(log)).codes).toEqual(Array(4).fill('entry-altered'));
  });

  it('finds one stream with two heads of one size', async () => {
    const log = logOf(5);
    log.append([head('context/ctx_0', 1, 'other')]);
    expect((await audit(log)).findings).toMatchObject([
      { code: 'log-split', message: expect.stringContaining('context/ctx_0 at size 1') },
    ]);
    const again = logOf(5);
    again.append([head('context/ctx_0', 1)]);
    expect((await audit(again)).codes).toEqual([]);
  });

  it('finds a log that does not begin with what it was', async () => {
    const earlier = [checkpointOf(logOf(200))];
    expect((await audit(logOf(200), { earlier })).codes).toEqual([]);
    expect((await audit(logOf(513), { earlier })).codes).toEqual([]);
    expect((await audit(logOf(199), { earlier })).codes).toEqual(['log-truncated']);
    expect((await audit(logOf(200, 'forged'), { earlier })).codes).toEqual(['log-split']);
    expect((await audit(logOf(513, 'forged'), { earlier })).codes).toEqual(['log-rewritten']);
    expect((await audit(new MemoryLog(), { earlier })).codes).toEqual(['log-truncated']);
    const other = [{ ...checkpointOf(logOf(200)), origin: 'other.example/log' }];
    expect((await audit(logOf(513), { earlier: other })).codes).toEqual(['log-other']);
  });

  it('finds a checkpoint that nobody, or somebody else, has signed', async () => {
    const log = logOf(3);
    const stranger = signingKey(LOG_KEY.name, SIGNATURE_TYPE.note, new Uint8Array(32).fill(9));
    log.note = log.signed([stranger]);
    expect((await audit(log)).findings).toMatchObject([
      { code: 'key-not-trusted', message: expect.stringContaining(`${LOG_KEY.name}+${stranger.id}`) },
    ]);
    log.note = log.signed().replace('\n3\n', '\n2\n');
    expect((await audit(log)).codes).toContain('checkpoint-invalid');
    log.note = 'words';
    expect((await audit(log)).codes).toEqual(['checkpoint-invalid']);
    log.note = log.signed([LOG_KEY, WITNESS]);
    expect((await audit(log, { keys: [LOG_KEY, WITNESS], witnesses: 1 })).codes).toEqual([]);
    log.note = log.signed();
    expect((await audit(log, { keys: [LOG_KEY, WITNESS], witnesses: 1 })).codes).toEqual(['witnesses-missing']);
  });
});

describe('a consistency proof from tiles', () => {
  const follow = async (earlier: MemoryLog, later: MemoryLog) => {
    const findings = new Findings();
    await followCheckpoint(later, checkpointOf(earlier), checkpointOf(later), findings);
    return findings.list.map(({ code }) => code);
  };

  it('shows that a log has only grown, and what it is when it has not', async () => {
    for (const size of [1, 100, 256, 300, 513]) {
      expect([size, await follow(logOf(size), logOf(513))]).toEqual([size, []]);
    }
    expect(await follow(logOf(300), logOf(513, 'forged'))).toEqual(['log-rewritten']);
    expect(await follow(logOf(513), logOf(513, 'forged'))).toEqual(['log-split']);
    expect(await follow(logOf(513), logOf(300))).toEqual(['log-truncated']);
    const later = logOf(513);
    later.files.clear();
    expect(await follow(logOf(300), later)).toEqual(['tile-missing']);
  });
});

describe('keys', () => {
  const key = formatVerifierKey(LOG_KEY);

  it('are read one a line, and from what /log/keys answers', () => {
    expect(readKeys(`# of the log\n${key}\n\n${formatVerifierKey(WITNESS)}\n`)).toMatchObject([
      { name: LOG_KEY.name },
      { name: WITNESS.name },
    ]);
    const answer = {
      origin: LOG_KEY.name,
      keys: [{ key, status: 'signing' }],
      witnesses: [formatVerifierKey(WITNESS)],
    };
    expect(readKeys(JSON.stringify(answer))).toMatchObject([{ name: LOG_KEY.name }, { name: WITNESS.name }]);
  });

  it('are refused when they are none', () => {
    for (const text of ['', 'words', '{}', `${key}\nwords`, key.slice(0, -1), '{"keys":[]}']) {
      expect(readKeys(text)).toMatchObject({ fault: expect.any(String) });
    }
  });
});
