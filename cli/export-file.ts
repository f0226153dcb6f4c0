import { createReadStream, existsSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { parseHeader } from '../events/bundle.ts';
import { ByteLines } from '../events/byte-lines.ts';
import { isFault } from '../events/fault.ts';
import { Line } from '../events/line.ts';
import { parseVerifierKey } from '../events/note-keys.ts';
import { BundleVerifier } from '../events/verify.ts';
import { NotVerifiedError, UsageError } from './errors.ts';
import { codeOf, onFile } from './options.ts';

/** A bundle that was broken off, and how far it got. */
interface BrokenBundle {
  readonly stream: string;
  /** Events that are there. */
  readonly events: number;
  /** Events that there have to be. */
  readonly size: number;
}

/** What an export that was broken off holds already. */
export interface Begun {
  /** The streams whose bundles are whole. */
  readonly streams: ReadonlySet<string>;
  /** The last bundle when it is not whole. */
  readonly broken: BrokenBundle | null;
  /** Bytes of the file that can stay. */
  readonly bytes: number;
}

const NOTHING: Begun = { streams: new Set(), broken: null, bytes: 0 };

/** Opens a file to write an export into: a new one, or one that is gone on with from so many bytes. */
export async function openExport(file: string, isResumed: boolean, bytes: number): Promise<FileHandle> {
  try {
    if (!isResumed || !existsSync(file)) return await open(file, 'wx', 0o600);
    const handle = await open(file, 'r+');
    await handle.truncate(bytes);
    return handle;
  } catch (error) {
    if (codeOf(error) === 'EEXIST')
      throw new UsageError(`${file} is there already: go on with it by --resume, or name another`);
    throw new UsageError(`${file} cannot be written (${codeOf(error)})`);
  }
}

/**
 * Looks at what an export holds that is to be gone on with, and verifies it: each bundle by the keys that it names
 * itself, which shows what was damaged on the way, not who made it.
 *
 * @throws {NotVerifiedError} when something in it is wrong that a break does not explain
 * @throws {UsageError} when it cannot be read
 */
export async function readBegun(file: string): Promise<Begun> {
  if (!existsSync(file)) return NOTHING;
  return onFile(file, 'read', async () => {
    const scan = new Scan(file);
    const lines = new ByteLines((line) => scan.line(line));
    for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) if (!lines.push(chunk)) break;
    lines.end();
    return scan.end(statSync(file).size);
  });
}

/** Follows an export that may end anywhere. */
class Scan {
  readonly #file: string;
  readonly #streams = new Set<string>();
  #verifier: BundleVerifier | null = null;
  #stream = '';
  #size = 0;
  #events = 0;
  /** Where the present bundle begins, and where the last line ends. */
  #start = 0;
  #end = 0;
  /** The last line: only with the next one, or the file's end, is it known to be whole. */
  #held: Pick<Line, 'text' | 'fault'> | null = null;

  constructor(file: string) {
    this.#file = file;
  }

  line({ text, fault }: Line): void {
    this.#takeHeld();
    this.#held = { text, fault };
  }

  /** @param bytes of the file */
  end(bytes: number): Begun {
    const last = this.#held;
    // A line that has no line feed after it was broken off.
    if (last && this.#end + Buffer.byteLength(last.text) + 1 <= bytes) this.#takeHeld();
    if (this.#verifier === null) return { streams: this.#streams, broken: null, bytes: this.#start };
    if (this.#events === this.#size) {
      this.#finish();
      return { streams: this.#streams, broken: null, bytes: this.#end };
    }
    const { findings } = this.#verifier.end();
    const isCut = findings.length === 1 && findings[0]?.code === 'event-missing';
    if (!isCut) this.#fail(findings[0]?.message ?? '');
    const broken = { stream: this.#stream, events: this.#events, size: this.#size };
    return { streams: this.#streams, broken, bytes: this.#end };
  }

  #takeHeld(): void {
    if (!this.#held) return;
    const { text, fault } = this.#held;
    this.#held = null;
    if (fault) this.#fail(fault.fault);
    const line = Line.of(text);
    const header = text.startsWith('{"checkpoint":') ? parseHeader(text) : null;
    if (header) {
      if (isFault(header)) this.#fail(header.fault);
      this.#finish();
      const keys = header.keys.flatMap((key) => {
        const parsed = parseVerifierKey(key);
        return isFault(parsed) ? [] : [parsed];
      });
      this.#verifier = new BundleVerifier({ keys, witnesses: 0, earlier: [] });
      [this.#stream, this.#size, this.#events] = [header.stream, header.heads.at(-1)?.size ?? 0, 0];
      this.#start = this.#end;
    } else if (this.#verifier) this.#events++;
    else this.#fail('it does not begin with a bundle');
    this.#verifier.line(line);
    this.#end += line.bytes.length + 1;
  }

  #finish(): void {
    const verdict = this.#verifier?.end();
    if (!verdict) return;
    if (!verdict.isVerified) this.#fail(verdict.findings[0]?.message ?? '');
    this.#streams.add(this.#stream);
    this.#verifier = null;
  }

  #fail(reason: string): never {
    throw new NotVerifiedError(`${this.#file} cannot be gone on with: ${reason}. Move it away and begin anew.`);
  }
}
