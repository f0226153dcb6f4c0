import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';

/** The colours that are used, as SGR parameters (ECMA-48). */
const COLOURS = { red: 31, green: 32, yellow: 33, dim: 2, bold: 1 } as const;

/** Milliseconds between two drawings of the progress line. */
const REDRAW_MS = 100;
const BAR_WIDTH = 24;

/** Encrypted words in JSON text (docs/protocol.md). */
const SEALED = /"sealed:v1:([A-Za-z0-9_.-]{1,100}):[0-9a-f]{16}:[A-Za-z0-9+/]+={0,2}"/g;

/** Where something is shown: a terminal, or anything else that can be written to. */
type Screen = Pick<NodeJS.WriteStream, 'isTTY' | 'write'>;

/** Whether colours are wanted: on a terminal, unless NO_COLOR is set (no-color.org). */
function isColourful(screen: Screen): boolean {
  return Boolean(screen.isTTY) && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
}

/** Colours a text for standard output, when that shows colours. */
export function paint(colour: keyof typeof COLOURS, text: string, screen: Screen = process.stdout): string {
  return isColourful(screen) ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
}

/** A text from elsewhere as it may be shown: without what a terminal would act on. */
export function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out.
  return stripVTControlCharacters(text).replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, '\ufffd');
}

/** Prints a line to standard output, and waits while whoever reads it is slower. */
export async function print(line: string): Promise<void> {
  if (!process.stdout.write(`${line}\n`)) await once(process.stdout, 'drain');
}

/** Says something on standard error, for people. */
export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** JSON text as people read it: of encrypted words it says whose they are. */
export function withoutBoxes(jsonText: string): string {
  return jsonText.replace(SEALED, (_text, subject: string) => `"[words of ${subject}, encrypted]"`);
}

/** A JSON value for people on a terminal, for programs in one line. */
export function jsonText(value: unknown): string {
  return process.stdout.isTTY ? withoutBoxes(JSON.stringify(value, null, 2)) : JSON.stringify(value);
}

/** A line on a terminal that says how far something is, and how long it will take; elsewhere nothing. */
export class Progress {
  readonly #screen: Screen;
  readonly #startedAt = Date.now();
  #drawnAt = 0;

  constructor(screen: Screen = process.stderr) {
    this.#screen = screen;
  }

  /** @param share from 0 to 1, null when it is not known */
  at(share: number | null, what: string): void {
    const now = Date.now();
    if (!this.#screen.isTTY || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    const bar = share === null ? '' : `${drawBar(share)} ${Math.floor(share * 100)} % `;
    this.#screen.write(`\r\x1b[K${bar}${what}${this.#estimate(share, now)}`);
  }

  /** Wipes the line. */
  end(): void {
    if (this.#screen.isTTY) this.#screen.write('\r\x1b[K');
  }

  #estimate(share: number | null, now: number): string {
    if (share === null || share < 0.01) return '';
    const left = ((now - this.#startedAt) * (1 - share)) / share / 1000;
    return `, about ${left < 90 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`} left`;
  }
}

function drawBar(share: number): string {
  const full = Math.round(Math.min(1, share) * BAR_WIDTH);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_WIDTH - full)}]`;
}
