import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort, type Server, startServer, stopServer, temporaryFolder } from '../support/server.ts';

/** The sections of the README whose lines are pasted into a shell, in this order. */
const SECTIONS = ['## Try it', '### Share a context', '### Hand on a part of your rights'];

/** What of "Try it" comes before people work together. */
const BEGINNINGS = ['export BOOTSTRAP_API_KEY=', 'Idempotency-Key: first', 'ACTORS='];

const readme = readFileSync('README.md', 'utf8');

/** The shell lines of a section, each with what continues it. */
function commandsOf(section: string): string[] {
  const start = readme.indexOf(`${section}\n`);
  if (start < 0) throw new Error(`the README has no section ${section}`);
  const rest = readme.slice(start + section.length);
  const text = rest.slice(0, rest.search(/^#{2,3} /m));
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block ?? '');
  const isPasted = (block: string) => section !== SECTIONS[0] || BEGINNINGS.some((each) => block.includes(each));
  const lines = blocks
    .filter(isPasted)
    .join('')
    .replaceAll(/ *\\\n */g, ' ')
    .split('\n');
  return lines.filter((line) => line !== '');
}

/** What a reader does by hand: what an answer gave is put in the place of `ctx_…`, what goes on is left going on. */
function pasted(line: string, n: number): string {
  const filled = line.replaceAll(
    /\b([a-z]+_|ey)…/g,
    (_, prefix: string) => `$(given ${prefix === 'ey' ? 'eyJ' : prefix})`,
  );
  if (!line.endsWith('&')) return filled;
  return `${filled.replace('curl -N', 'command curl -sSN').slice(0, -1)} > "$DIR/watch-${n}" 2>&1 &\nsleep 1`;
}

const PRELUDE = `
set -u
curl() { command curl -sS "$@" > "$DIR/last"; cat "$DIR/last" >> "$DIR/all"; echo >> "$DIR/all"; }
given() { grep -oE "$1[A-Za-z0-9_.-]+" "$DIR/last" | head -1; }
`;

const data = temporaryFolder('readme-story');
const folder = temporaryFolder('readme-story-shell');
let server: Server;
let all = '';
const watched: string[] = [];

beforeAll(async () => {
  server = await startServer({ port: await freePort(), dataFolder: data.path, apiKey: 'the-key-of-the-story' });
  mkdirSync(folder.path, { recursive: true });
  const lines = SECTIONS.flatMap(commandsOf).map(pasted).join('\n');
  const script = `${PRELUDE}${lines}\nsleep 2\nkill $(jobs -p) 2> /dev/null\nexit 0\n`
    .replaceAll('http://127.0.0.1:8787', server.url)
    .replace(/BOOTSTRAP_API_KEY=.*/, `BOOTSTRAP_API_KEY=${server.apiKey}`);
  const path = join(folder.path, 'story.sh');
  writeFileSync(path, script);
  await new Promise<void>((resolve, reject) => {
    execFile('bash', [path], { env: { ...process.env, DIR: folder.path } }, (error, _stdout, stderr) => {
      if (error || stderr !== '') reject(new Error(`${stderr}\n${script}`));
      else resolve();
    });
  });
  all = readFileSync(join(folder.path, 'all'), 'utf8');
  for (const n of script.matchAll(/\$DIR\/(watch-\d+)/g)) {
    watched.push(readFileSync(join(folder.path, n[1] ?? ''), 'utf8'));
  }
}, 120_000);

afterAll(async () => {
  await stopServer(server);
  data.remove();
  folder.remove();
});

describe('the lines of the README, pasted', () => {
  it('two people with keys of their own share a context, and both see the approved proposal come', () => {
    const [first, second] = watched.slice(-3, -1);
    for (const stream of [first, second]) {
      expect(stream).toContain('event: proposal_made');
      expect(stream).toContain('event: proposal_applied');
      expect(stream).toContain('Q4 planning');
    }
    const applied = first?.split('\n').find((line) => line.includes('"type":"proposal_applied"')) ?? '';
    const { data } = JSON.parse(applied.slice('data: '.length));
    expect(data.proposedBy).toMatch(/^act_/);
    expect(data.approvedBy).toEqual(['act_00000000000000000000000000']);
    expect(data.proposedBy).not.toBe(data.approvedBy[0]);
  });

  it('who is removed finds nothing any more', () => {
    expect(all).toContain('There is no context with this id.');
    // Her stream has ended: what came after her removal is not in it.
    expect(watched.at(-2)).not.toContain('event: member_removed');
  });

  it('a service that acts for ten minutes is stopped in the middle', () => {
    expect(watched.at(-1)).toContain('event: context_created');
    expect(all).toContain('"status":"revoked"');
  });

  it('the trail tells the whole story', async () => {
    const id = /"id":"(ctx_\w+)"/.exec(all)?.[1];
    const headers = { Authorization: `Bearer ${server.apiKey}` };
    const told = async () => {
      const trail = await fetch(`${server.url}/v1/audit?context=${id}&system=false&limit=100`, { headers });
      const { items }: { items: { action: string }[] } = await trail.json();
      return items.map(({ action }) => action);
    };
    // It comes a moment after what it tells of.
    await expect
      .poll(told, { timeout: 20_000 })
      .toEqual(
        expect.arrayContaining([
          'context_created',
          'invitation_sent',
          'invitation_accepted',
          'proposal_made',
          'proposal_commented',
          'proposal_applied',
          'rules_changed',
          'member_removed',
          'context.read',
        ]),
      );
  });
});
