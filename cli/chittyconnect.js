#!/usr/bin/env node
// Runs the command line tool on any Node from 20 on, which cannot read TypeScript: what it runs is a bundle, made at the
// first use and again when a file that went into it has changed.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bundle = `${root}.build/cli.mjs`;
const inputs = `${root}.build/cli.inputs.json`;

/** Exit statuses as in `errors.ts`: for a tool that cannot be built, and for one that is wrong itself. */
const USAGE = 2;
const INTERNAL = 70;

// Node would end with 1, which says that something was looked at and is not verified.
process.on('uncaughtException', (error) => {
  console.error(error);
  process.exit(INTERNAL);
});

function isCurrent() {
  if (!existsSync(bundle) || !existsSync(inputs)) return false;
  const builtAt = statSync(bundle).mtimeMs;
  return JSON.parse(readFileSync(inputs, 'utf8')).every(
    (file) => existsSync(root + file) && statSync(root + file).mtimeMs <= builtAt,
  );
}

async function build() {
  const esbuild = await import('esbuild').catch(() => null);
  if (esbuild === null) {
    // An installation without development dependencies goes on with what was built before.
    if (existsSync(bundle)) return;
    console.error('chittyconnect: it has to be built once, for which esbuild is missing. Run npm ci.');
    process.exit(USAGE);
  }
  const { metafile, outputFiles } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: ['cli/main.ts'],
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    outfile: bundle,
    metafile: true,
    write: false,
    logLevel: 'error',
  });
  mkdirSync(`${root}.build`, { recursive: true });
  // In place in one step each: another one may be starting at the same time.
  for (const [file, text] of [
    [inputs, JSON.stringify(Object.keys(metafile.inputs))],
    [bundle, outputFiles[0].text],
  ]) {
    writeFileSync(`${file}.${process.pid}`, text);
    renameSync(`${file}.${process.pid}`, file);
  }
}

if (!isCurrent()) await build();
if (process.argv[2] === 'tail' && globalThis.WebSocket === undefined) {
  // Node 20 has one, behind a flag.
  const again = ['--experimental-websocket', '--no-warnings', ...process.argv.slice(1)];
  process.exit(spawnSync(process.execPath, again, { stdio: 'inherit' }).status ?? INTERNAL);
}
const { main } = await import(pathToFileURL(bundle).href);
process.exitCode = await main(process.argv.slice(2));
