import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Server } from './server.ts';

/** A section of the README, and which of its blocks are pasted: those that have one of these in them, or all. */
export interface Pasted {
  readonly section: string;
  readonly only?: readonly string[];
}

/** What was seen. */
export interface Story {
  /** All that was answered, and then all that was printed. */
  readonly all: string;
  /** What was said on the error output. */
  readonly errors: string;
  /** Each `curl -N … &`. */
  readonly watched: readonly Watched[];
}

/** What was left going on. */
interface Watched {
  /** What it received until the end. */
  readonly received: string;
  /** Whether it had ended before the story did. */
  readonly hasEnded: boolean;
}

/** All of it. */
export const readme = readFileSync('README.md', 'utf8');

/** `given` is what a reader takes from the last answer by hand. */
const PRELUDE = `
set -u
curl() { command curl -sS "$@" | tee "$DIR/last"; cat "$DIR/last" >> "$DIR/all"; echo >> "$DIR/all"; }
given() { grep -oE "$1[A-Za-z0-9_.-]+" "$DIR/last" | head -1; }
`;

/**
 * Pastes lines of the README into a shell, against a server that runs.
 *
 * @param folder where it is done: it is made, and files are written to it
 * @throws when the shell fails
 */
export async function pasteReadme(sections: readonly Pasted[], server: Server, folder: string): Promise<Story> {
  mkdirSync(folder, { recursive: true });
  const lines = sections.flatMap(commandsOf).map(pasted).join('\n');
  const script = `${PRELUDE}${lines}\nsleep 2\njobs -rp > "$DIR/open"\nkill $(jobs -p) 2> /dev/null\nexit 0\n`
    .replaceAll('http://127.0.0.1:8787', server.url)
    .replaceAll('npx chittyconnect', `"${process.execPath}" "${resolve('cli/chittyconnect.js')}"`)
    .replace(/BOOTSTRAP_API_KEY=.*/, `BOOTSTRAP_API_KEY=${server.apiKey}`);
  const path = join(folder, 'story.sh');
  writeFileSync(path, script);
  const env = { ...process.env, DIR: folder, CHITTYCONNECT_URL: server.url };
  const { stdout, stderr } = await promisify(execFile)('bash', [path], { cwd: folder, env });
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const open = read('open').split('\n');
  const watched = [...script.matchAll(/\$DIR\/watch-(\d+)/g)].map(([, n]) => ({
    received: read(`watch-${n}`),
    hasEnded: !open.includes(read(`pid-${n}`).trim()),
  }));
  return { all: `${read('all')}${stdout}`, errors: stderr, watched };
}

/** The shell lines of a section, each with what continues it. */
function commandsOf({ section, only }: Pasted): string[] {
  const start = readme.indexOf(`${section}\n`);
  if (start < 0) throw new Error(`the README has no section ${section}`);
  const rest = readme.slice(start + section.length);
  const text = rest.slice(0, rest.search(/^#{2,3} /m));
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block ?? '');
  const lines = blocks
    .filter((block) => only?.some((each) => block.includes(each)) ?? true)
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
  return `${filled.replace('curl -N', 'command curl -sSN').slice(0, -1)} > "$DIR/watch-${n}" 2>&1 &\necho $! > "$DIR/pid-${n}"\nsleep 1`;
}
