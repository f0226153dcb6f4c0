import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { isRunning, type Server, waitFor } from './server.ts';

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
export interface Watched {
  /** What it received until the end. */
  readonly received: string;
  /** Whether it had ended before the story did. */
  readonly hasEnded: boolean;
}

/** How long the lines may take, and what is watched after them, in milliseconds; each takes a second or two. */
const LINES_MS = 240_000;
const WATCHED_MS = 60_000;

/** All of it. */
export const readme = readFileSync('README.md', 'utf8');

/** `given` is what a reader takes from the last answer by hand. */
const PRELUDE = `
set -u
curl() { command curl -sS "$@" | tee "$DIR/last"; cat "$DIR/last" >> "$DIR/all"; echo >> "$DIR/all"; }
given() { grep -oE "$1[A-Za-z0-9_.-]+" "$DIR/last" | head -1; }
`;

/** Whoever looks on says when it is the end. */
const EPILOGUE = `
: > "$DIR/done"
until [ -e "$DIR/end" ]; do sleep 0.1; done
kill $(jobs -p) 2> /dev/null
exit 0
`;

/**
 * Pastes lines of the README into a shell, against a server that runs.
 *
 * @param folder where it is done: it is made, and files are written to it
 * @param hasCome whether all that is watched has come that is waited for; what has not come in time is missing in the story
 * @throws when the shell fails
 */
export async function pasteReadme(
  sections: readonly Pasted[],
  server: Server,
  folder: string,
  hasCome: (watched: readonly Watched[]) => boolean = () => true,
): Promise<Story> {
  mkdirSync(folder, { recursive: true });
  const lines = sections.flatMap(commandsOf).map(pasted).join('\n');
  const script = `${PRELUDE}${lines}\n${EPILOGUE}`
    .replaceAll('http://127.0.0.1:8787', server.url)
    .replaceAll('npx chittyconnect', `"${process.execPath}" "${resolve('cli/chittyconnect.js')}"`)
    .replace(/BOOTSTRAP_API_KEY=.*/, `BOOTSTRAP_API_KEY=${server.apiKey}`);
  const path = join(folder, 'story.sh');
  writeFileSync(path, script);
  const env = { ...process.env, DIR: folder, CHITTYCONNECT_URL: server.url };
  const read = (name: string) => readFileSync(join(folder, name), 'utf8');
  const look = () =>
    [...script.matchAll(/> "\$DIR\/watch-(\d+)/g)].map(([, n]) => {
      // Looked at first: what ends in between has received everything then.
      const hasEnded = !isRunning(Number(read(`pid-${n}`)));
      return { received: read(`watch-${n}`), hasEnded };
    });
  const timeout = LINES_MS + 2 * WATCHED_MS;
  const shell = promisify(execFile)('bash', [path], { cwd: folder, env, timeout });
  await Promise.race([shell, waitFor('the lines', () => existsSync(join(folder, 'done')), LINES_MS)]);
  await waitFor('what is watched', () => hasCome(look()), WATCHED_MS).catch(() => undefined);
  const watched = look();
  writeFileSync(join(folder, 'end'), '');
  const { stdout, stderr } = await shell;
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

/**
 * What a reader does by hand: what an answer gave is put in the place of `ctx_…`, what goes on is left going on once the
 * first of it has come.
 */
function pasted(line: string, n: number): string {
  const filled = line.replaceAll(
    /\b([a-z]+_|ey)…/g,
    (_, prefix: string) => `$(given ${prefix === 'ey' ? 'eyJ' : prefix})`,
  );
  if (!line.endsWith('&')) return filled;
  return `${filled.replace('curl -N', 'command curl -sSN').slice(0, -1)} > "$DIR/watch-${n}" 2>&1 &\necho $! > "$DIR/pid-${n}"\nuntil [ -s "$DIR/watch-${n}" ]; do sleep 0.1; done`;
}
