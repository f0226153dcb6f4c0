import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { type ContextState, contextDecider } from '../../actors/context.ts';
import { recorded } from '../../actors/decider.ts';
import type { ContextEvent } from '../../events/context.ts';
import { type EnvelopeDraft, sealEvent } from '../../events/envelope.ts';
import { derivedId } from '../../events/id.ts';
import { nextUlid } from '../../events/ulid.ts';
import { checkContext, type Observed } from '../../scripts/fault/check.ts';
import { type Change, digest, type TrackedContext } from '../../scripts/fault/ledger.ts';
import { printedSeed } from '../support/seed.ts';
import { ROOT } from '../support/server.ts';

/** Rounds of the short form: about 4 s each. In three of them everything that can be wrong downstream has its turn. */
const ROUNDS = 3;
/** About 40 s on an idle machine, many times as long on a busy one. */
const TIMEOUT_MS = 900_000;

const id = derivedId('ctx', 'the context of these tests');

/** A log of a creation and two patches, all acknowledged, and what a sound server tells of it. */
function soundRun(): { context: TrackedContext; drafts: EnvelopeDraft[] } {
  const drafts: EnvelopeDraft[] = [];
  const changes: Change[] = [];
  let state: ContextState = null;
  for (const version of [1, 2, 3]) {
    const isCreation = version === 1;
    const marker = `marker-${version}`;
    const draft: EnvelopeDraft = {
      id: nextUlid(1_700_000_000_000, drafts.at(-1)?.id),
      stream: `context/${id}`,
      version,
      type: isCreation ? 'context_created' : 'context_updated',
      schemaVersion: 1,
      time: `2026-01-01T00:00:0${version}.000Z`,
      actor: 'act_1',
      correlationId: marker,
      causationId: null,
      commandId: `command-${version}`,
      data: isCreation
        ? { name: 'n', description: '', owner: 'act_1', systems: [], tools: [], metadata: { marker } }
        : { metadata: { marker } },
    };
    drafts.push(draft);
    state = contextDecider.evolve(state, recorded<ContextEvent>(JSON.parse(sealEvent(draft).text)));
    changes.push({
      kind: isCreation ? 'create' : 'patch',
      marker,
      key: isCreation ? 'key' : null,
      ifMatch: version === 3 ? 2 : null,
      body: '{}',
      sentAfter: version - 1,
      outcome: 'acknowledged',
      version,
      answerDigest: digest(JSON.stringify(state)),
    });
  }
  return { context: { id, changes, acknowledged: 3, touched: true, events: 3 }, drafts };
}

/** What a server tells whose log holds these events. */
function observed(lines: readonly string[]): Observed {
  let state: ContextState = null;
  for (const line of lines) state = contextDecider.evolve(state, recorded<ContextEvent>(JSON.parse(line)));
  const answer = { status: 200, etag: `"${state?.version}"`, body: JSON.stringify(state) };
  return { lines, pages: lines.join(','), now: answer, past: { at: lines.length, ...answer } };
}

/** The violations of a sound run after `damage`. */
function violations(damage: (run: { drafts: EnvelopeDraft[]; changes: Change[] }) => void): string {
  const { context, drafts } = soundRun();
  damage({ drafts, changes: context.changes });
  return checkContext(context, observed(drafts.map((draft) => sealEvent(draft).text))).join('\n');
}

/** A copy of an event as a later one. */
function later(draft: EnvelopeDraft | undefined, version: number): EnvelopeDraft {
  if (!draft) throw new Error('no such event');
  return { ...draft, version, id: nextUlid(1_800_000_000_000), commandId: 'another', time: '2027-01-01T00:00:00.000Z' };
}

describe('the check of the fault run', () => {
  it('finds nothing wrong with a sound log', () => {
    expect(violations(() => undefined)).toBe('');
  });

  it('sees an acknowledged change that was lost', () => {
    expect(violations(({ drafts }) => drafts.pop())).toMatch(/marker-3 was acknowledged as version 3.*none/);
  });

  it('sees a change that was done twice', () => {
    expect(violations(({ drafts }) => drafts.push(later(drafts[1], 4)))).toMatch(/marker-2 was acknowledged.*2, 4/);
  });

  it('sees an unanswered change that was done twice', () => {
    const text = violations(({ drafts, changes }) => {
      drafts.push(later(drafts[2], 4));
      Object.assign(changes[2] ?? {}, { outcome: 'unanswered', version: null });
    });
    expect(text).toMatch(/marker-3 is in the log twice: 3, 4/);
  });

  it('sees a refused change that was done', () => {
    const refuse = ({ changes }: { changes: Change[] }) => Object.assign(changes[2] ?? {}, { outcome: 'refused' });
    expect(violations(refuse)).toMatch(/marker-3 was refused, in the log it is: 3/);
  });

  it('sees a gap between versions', () => {
    const text = violations(({ drafts }) => drafts.push({ ...later(drafts[2], 5), correlationId: 'x' }));
    expect(text).toMatch(/has version 5: a gap/);
  });

  it('sees an event that nobody asked for', () => {
    const text = violations(({ drafts }) => drafts.push({ ...later(drafts[2], 4), correlationId: 'stray' }));
    expect(text).toMatch(/nobody asked for stray/);
  });

  it('sees ids and times that go back', () => {
    const text = violations(({ drafts }) => {
      Object.assign(drafts[2] ?? {}, { id: nextUlid(1_600_000_000_000), time: '2025-01-01T00:00:00.000Z' });
    });
    expect(text).toMatch(/does not sort after/);
    expect(text).toMatch(/is earlier than the one before/);
  });

  it('sees a change that took another version’s place than If-Match said', () => {
    const text = violations(({ changes }) => Object.assign(changes[2] ?? {}, { ifMatch: 1 }));
    expect(text).toMatch(/was to change version 1, and is version 3/);
  });

  it('sees a change that was ordered before one that had been answered already', () => {
    expect(violations(({ changes }) => Object.assign(changes[2] ?? {}, { sentAfter: 7 }))).toMatch(
      /7 had been answered/,
    );
  });

  it('sees an answer that was not the state that the log replays to', () => {
    const text = violations(({ changes }) => Object.assign(changes[1] ?? {}, { answerDigest: digest('{}') }));
    expect(text).toMatch(/the answer to marker-2 is not the state/);
  });

  it.each([
    ['a byte of an event', (text: string) => text.replace('"marker":"marker-2"', '"marker":"marker-2 "')],
    ['a leaf hash', (text: string) => text.replace(/"leafHash":"./, '"leafHash":"g')],
  ])('sees that %s was altered', (_, alter) => {
    const { context, drafts } = soundRun();
    const lines = drafts.map((draft) => sealEvent(draft).text);
    expect(checkContext(context, observed(lines.map(alter)))).not.toEqual([]);
  });

  it('sees pages, a state or a past that are not what the log says', () => {
    const { context, drafts } = soundRun();
    const sound = observed(drafts.map((draft) => sealEvent(draft).text));
    const other = { ...sound.now, body: sound.now.body.replace('"n"', '"m"') };
    expect(checkContext(context, { ...sound, pages: sound.lines.slice(1).join(',') })).toHaveLength(1);
    expect(checkContext(context, { ...sound, now: other })).toHaveLength(1);
    expect(checkContext(context, { ...sound, now: { ...sound.now, status: 410 } })).toHaveLength(1);
    expect(checkContext(context, { ...sound, past: { at: 3, ...other } })).toHaveLength(1);
  });
});

describe('the server under writers', () => {
  it(`loses nothing and repeats nothing, there and downstream, when it is killed ${ROUNDS} times (npm run fault: 100)`, {
    timeout: TIMEOUT_MS,
  }, async () => {
    const seed = printedSeed('fault run');
    const script = join(ROOT, 'scripts', 'fault.ts');
    const args = [script, '--rounds', String(ROUNDS), '--seed', String(seed)];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
    const [, violations, rounds, acknowledged] =
      /fault: (\d+) violations, (\d+) of \d+ rounds, .* (\d+) acknowledged/.exec(stdout) ?? [];
    expect({ violations, rounds }).toEqual({ violations: '0', rounds: String(ROUNDS) });
    expect(Number(acknowledged)).toBeGreaterThan(100);
    // All of it has arrived: with the contexts of creations that got no answer there may be more than were acknowledged.
    const [, entries, lineage, chittyIds, listed, contexts] =
      /arrived: (\d+) entries .* (\d+) events in DNA, (\d+) ChittyIDs, .* (\d+) contexts in lists, of (\d+)/.exec(
        stdout,
      ) ?? [];
    expect(Number(entries)).toBeGreaterThan(Number(acknowledged));
    expect(Number(lineage)).toBeGreaterThan(Number(acknowledged));
    expect(Number(chittyIds)).toBeGreaterThan(0);
    expect(listed).toBe(String(Number(contexts) - 1));
    for (const kind of ['DNA down', 'Chronicle flapping', 'slow registry', 'wrong answers', 'lost answers']) {
      expect(stdout).toContain(`× ${kind}`);
    }
  });

  it('is not tested at all with options that make no sense, and the fault run says which do', async () => {
    const script = join(ROOT, 'scripts', 'fault.ts');
    const run = promisify(execFile)(process.execPath, [script, '--rounds', 'many'], { cwd: ROOT });
    await expect(run).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('Usage: npm run fault') });
  });
});
