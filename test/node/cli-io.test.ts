import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Progress, paint } from '../../cli/io.ts';

/** What begins every drawing of the line: to its beginning, and wiped. */
const WIPED = '\r\x1b[K';

/** A stream that keeps what it is given. */
class Screen {
  readonly isTTY: boolean;
  shown = '';

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string | Uint8Array): boolean {
    this.shown += text;
    return true;
  }

  /** The line as it stands. */
  get line(): string {
    return this.shown.slice(this.shown.lastIndexOf(WIPED) + WIPED.length);
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubEnv('TERM', 'xterm');
  vi.stubEnv('NO_COLOR', undefined);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

describe('the progress line', () => {
  it('says on a terminal how far it is and about how long it will take', () => {
    const screen = new Screen(true);
    const progress = new Progress(screen);
    vi.advanceTimersByTime(10_000);
    progress.at(0.25, '5 of 20 streams');
    expect(screen.line).toBe('[######..................] 25 % 5 of 20 streams, about 30 s left');
    vi.advanceTimersByTime(10_000);
    progress.at(0.5, '10 of 20 streams');
    expect(screen.line).toBe('[############............] 50 % 10 of 20 streams, about 20 s left');
    progress.end();
    expect(screen.line).toBe('');
  });

  it('counts minutes when it takes long, and estimates nothing from too little', () => {
    const screen = new Screen(true);
    const progress = new Progress(screen);
    vi.advanceTimersByTime(1000);
    progress.at(0.005, 'begun');
    expect(screen.line).toBe('[........................] 0 % begun');
    vi.advanceTimersByTime(59_000);
    progress.at(0.1, 'on its way');
    expect(screen.line).toBe('[##......................] 10 % on its way, about 9 min left');
    vi.advanceTimersByTime(1000);
    progress.at(null, 'who knows');
    expect(screen.line).toBe('who knows');
  });

  it('is not drawn more often than ten times a second', () => {
    const screen = new Screen(true);
    const progress = new Progress(screen);
    for (let time = 0; time < 1000; time++) {
      vi.advanceTimersByTime(1);
      progress.at(time / 1000, 'quick');
    }
    expect(screen.shown.split(WIPED).length - 1).toBe(10);
  });

  it('is nothing where there is no terminal', () => {
    const screen = new Screen(false);
    const progress = new Progress(screen);
    progress.at(0.5, 'half');
    progress.end();
    expect(screen.shown).toBe('');
  });
});

describe('colours', () => {
  it('are shown on a terminal', () => {
    expect(paint('green', 'verified', new Screen(true))).toBe('\x1b[32mverified\x1b[0m');
    expect(paint('red', 'NOT VERIFIED', new Screen(true))).toBe('\x1b[31mNOT VERIFIED\x1b[0m');
  });

  it('are not shown elsewhere, nor where nobody wants or understands them', () => {
    expect(paint('green', 'verified', new Screen(false))).toBe('verified');
    vi.stubEnv('NO_COLOR', '1');
    expect(paint('green', 'verified', new Screen(true))).toBe('verified');
    // An empty one counts as none (no-color.org).
    vi.stubEnv('NO_COLOR', '');
    expect(paint('green', 'verified', new Screen(true))).not.toBe('verified');
    vi.stubEnv('TERM', 'dumb');
    expect(paint('green', 'verified', new Screen(true))).toBe('verified');
  });
});
