import { readFileSync } from 'node:fs';
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { UsageError } from './errors.ts';
import { Server } from './server.ts';

/** What `parseArgs` is told of options. */
type OptionsConfig = NonNullable<ParseArgsConfig['options']>;

/** A command of the tool. */
export interface Command {
  readonly name: string;
  /** In one line. */
  readonly summary: string;
  /** What `--help` prints. */
  readonly help: string;
  /** @returns the exit status */
  run(args: readonly string[]): Promise<number>;
}

/** What is read where no other server is named. */
const DEFAULT_SERVER = 'http://127.0.0.1:8787';

/** The options of all commands that ask a server. */
export const SERVER_OPTIONS = {
  server: { type: 'string' },
  'key-file': { type: 'string' },
} as const satisfies OptionsConfig;

/** How they are described. */
export const SERVER_HELP = `  --server <url>     the server; else CHITTYCONNECT_URL, else ${DEFAULT_SERVER}
  --key-file <file>  a file with your API key; else it is taken from CHITTYCONNECT_API_KEY`;

/** Reads the arguments of a command. @throws {UsageError} for what it does not take */
export function readArguments<Options extends OptionsConfig>(args: readonly string[], options: Options) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error));
  }
}

/** The server that the options name, with the caller's credential. */
export function serverOf(values: { readonly server?: string; readonly 'key-file'?: string }): Server {
  return new Server(
    readUrl(values.server ?? process.env.CHITTYCONNECT_URL ?? DEFAULT_SERVER),
    credentialOf(values['key-file']),
  );
}

/** @throws {UsageError} when it is not the URL of a server */
export function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`${text} is not the URL of a server, such as ${DEFAULT_SERVER}`);
  }
  if (url.username || url.password) throw new UsageError('The URL has a password in it: use --key-file instead');
  return url;
}

function credentialOf(file: string | undefined): string | undefined {
  const key = (file === undefined ? process.env.CHITTYCONNECT_API_KEY : readText(file))?.trim();
  if (key === undefined || key === '') {
    if (file !== undefined) throw new UsageError(`${file} is empty`);
    return undefined;
  }
  // What is wrong with it is not said: it may be most of a key.
  if (!/^[\x21-\x7e]+$/.test(key)) throw new UsageError('The API key has spaces or line breaks in it');
  return key;
}

/** The text of a small file. @throws {UsageError} when it cannot be read */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${file} cannot be read (${codeOf(error)})`);
  }
}

/** Does something with a file. @throws {UsageError} when the operating system does not let it */
export async function onFile<Result>(file: string, use: 'read' | 'written', work: () => Promise<Result>) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) {
      throw new UsageError(`${file} cannot be ${use} (${codeOf(error)})`);
    }
    throw error;
  }
}

/** The code of an error of the operating system. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
