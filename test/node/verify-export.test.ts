import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../events/verify.ts';
import { type ExportTrust, verifyExport } from '../../events/verify-export.ts';
import { LOG_KEY, Stream, WITNESS, world } from '../support/proof-world.ts';

const TRUST: ExportTrust = { keys: [LOG_KEY], witnesses: 0, earlier: new Map() };
const { log, stream, other } = world([3, 9]);
const [first, second] = [log.bundle(stream), log.bundle(other)];

async function* bytesOf(lines: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const line of lines) yield Buffer.from(`${line}\n`);
}

function verify(lines: readonly string[], trust: Partial<ExportTrust> = {}, onVerdict?: (verdict: Verdict) => void) {
  return verifyExport(bytesOf(lines), { ...TRUST, ...trust }, onVerdict);
}

const codes = ({ findings }: { findings: readonly { code: string; stream: string | null }[] }) =>
  findings.map(({ code, stream: name }) => `${code} in ${name}`);

describe('an export', () => {
  it('of two streams is verified, each by itself', async () => {
    const verdicts: Verdict[] = [];
    const verdict = await verify([...first, ...second], {}, (each) => verdicts.push(each));
    expect(verdict).toMatchObject({ isVerified: true, streams: 2, events: 18, findings: [] });
    expect(verdict.checkpoints).toMatchObject([{ origin: LOG_KEY.name, size: 6 }]);
    expect(verdicts.map(({ stream: name, head }) => `${name} ${head.size}`)).toEqual([
      'context/ctx_ONE 9',
      'context/ctx_TWO 9',
    ]);
  });

  it('of nothing is none', async () => {
    expect(codes(await verify([]))).toEqual(['bundle-malformed in null']);
    expect(codes(await verify(['']))).toEqual(['bundle-malformed in null']);
  });

  it('names the stream that an event was changed in', async () => {
    const lines = [...first, ...second];
    const at = first.length + 4;
    expect(codes(await verify(lines.with(at, (lines[at] ?? '').replace('other', 'Other'))))).toEqual([
      'event-altered in context/ctx_TWO',
    ]);
    expect(codes(await verify(lines.toSpliced(3, 1)))).toEqual(['event-missing in context/ctx_ONE']);
    expect(codes(await verify(lines.slice(0, -2)))).toEqual(['event-missing in context/ctx_TWO']);
  });

  it('is held against what was verified earlier, stream by stream', async () => {
    const forked = new Stream(stream.name);
    for (let version = 1; version <= 9; version++)
      forked.append({ name: version === 2 ? 'forged' : `words ${version}` });
    const earlier = new Map([[stream.name, [{ size: 9, root: forked.tree.root() }]]]);
    expect(codes(await verify([...first, ...second], { earlier }))).toEqual(['history-rewritten in context/ctx_ONE']);
    const longer = new Map([[other.name, [{ size: 10, root: forked.tree.root() }]]]);
    expect(codes(await verify([...first, ...second], { earlier: longer }))).toEqual([
      'history-truncated in context/ctx_TWO',
    ]);
  });

  it('shows two checkpoints of one size for what they are', async () => {
    const fork = world([5, 9]);
    expect(fork.log.tree.size).toBe(log.tree.size);
    const verdict = await verify([...first, ...fork.log.bundle(fork.other)]);
    expect(codes(verdict)).toContain('log-split in context/ctx_TWO');
  });

  it('needs the witnesses that are asked for in every bundle', async () => {
    const keys = [LOG_KEY, WITNESS];
    const lines = [...log.bundle(stream, keys), ...second];
    expect(codes(await verify(lines, { keys, witnesses: 1 }))).toEqual(['witnesses-missing in context/ctx_TWO']);
  });
});
