import { randomBytes } from 'node:crypto';
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { z } from 'zod';
import { envelopeSchema, sealEvent } from '../../events/envelope.ts';
import type { FindingCode } from '../../events/finding.ts';
import { formatNote, signText } from '../../events/note.ts';
import { SIGNATURE_TYPE, signingKey } from '../../events/note-keys.ts';
import type { Random } from '../fault/random.ts';
import {
  contextFile,
  logFile,
  objectFile,
  removeDatabase,
  replaceDatabase,
  segmentFiles,
  tileFiles,
  withDatabase,
} from './data-files.ts';

/** What a tampering has to work with. */
export interface Scene {
  /** The data folder of a stopped server, to be tampered with. */
  readonly dataFolder: string;
  /** The same of an earlier time. */
  readonly earlierFolder: string;
  /** Contexts, the first of which has a snapshot. */
  readonly contexts: readonly [string, string, ...string[]];
  /** Contexts of whose history a part is in segments. */
  readonly archived: readonly [string, string];
  readonly random: Random;
}

/** What an auditor has to say of a tampering: one of these codes, of this stream, of versions that hold this one. */
export interface Expected {
  readonly codes: readonly FindingCode[];
  readonly stream: string | null;
  readonly version: number | null;
}

/** Does something to the files. */
type Tampering = (scene: Scene) => Expected;

const row = z.object({ event: z.string() });
const logRow = z.object({ note: z.string(), origin: z.string() });

/** Everything that is tried, by what it is called. */
export const TAMPERINGS: Readonly<Record<string, Tampering>> = {
  'an event edited': inContext((database, version) => {
    write(database, version, swapLetters(read(database, version)));
    return ['event-altered'];
  }),
  'an event edited and hashed anew': inContext((database, version) => {
    write(database, version, resealed(swapLetters(read(database, version)), {}));
    return ['root-mismatch'];
  }),
  'an event removed': inContext((database, version) => {
    database.prepare('DELETE FROM events WHERE version = ?').run(version);
    return ['event-missing'];
  }),
  'the last events removed': inContext((database, version) => {
    database.prepare('DELETE FROM events WHERE version >= ?').run(version);
    return ['event-missing'];
  }),
  'an event inserted': inContext((database, version) => {
    insertAfter(database, version - 1, read(database, version));
    return ['event-repeated', 'event-missing'];
  }),
  'an event inserted, the others renumbered and hashed anew': inContext((database, version) => {
    insertAfter(database, version - 1, read(database, version));
    for (let at = version; at <= lastVersion(database); at++) {
      write(database, at, resealed(read(database, at), { version: at }));
    }
    // Of two that are the same the first passes for the one that was there, where a head of the log ends with it.
    return ['root-mismatch', 'event-id', 'event-repeated'];
  }, 1),
  'two events swapped': inContext((database, version) => {
    const [one, other] = [read(database, version), read(database, version - 1)];
    write(database, version, other);
    write(database, version - 1, one);
    return ['event-out-of-order'];
  }, -1),
  'an event put in from another stream': (scene) => {
    const [first, second] = scene.contexts;
    const text = withDatabase(contextFile(scene.dataFolder, second), (database) => read(database, 4));
    withDatabase(contextFile(scene.dataFolder, first), (database) => write(database, 4, text));
    return { codes: ['event-of-other-stream'], stream: `context/${first}`, version: 4 };
  },
  'the time of an event moved': inContext((database, version) => {
    const text = read(database, version);
    write(database, version, text.replace(/(?<="time":"20)\d\d/, '19'));
    return ['event-altered'];
  }),
  'the time of an event moved, and hashed anew': inContext((database, version) => {
    write(database, version, resealed(read(database, version), { time: '2019-01-01T00:00:00.000Z' }));
    return ['event-time', 'root-mismatch'];
  }),
  'a snapshot edited': ({ dataFolder, contexts: [id] }) =>
    withDatabase(contextFile(dataFolder, id), (database) => {
      const { version } = z
        .object({ version: z.int() })
        .parse(database.prepare('SELECT max(version) version FROM snapshots').get());
      database
        .prepare("UPDATE snapshots SET state = json_set(state, '$.description', 'forged') WHERE version = ?")
        .run(version);
      return { codes: ['state-differs'], stream: `context/${id}`, version: null };
    }),
  'a tile edited': ({ dataFolder, random }) => {
    flipByte(newestTile(dataFolder, 'tile/0/'), random);
    return { codes: ['tile-altered'], stream: null, version: null };
  },
  'entries of the log edited': ({ dataFolder }) => {
    const file = newestTile(dataFolder, 'tile/entries/');
    const bytes = readFileSync(file, 'latin1');
    writeFileSync(
      file,
      bytes.replace(/(?<="root":")./, (digit) => (digit === 'a' ? 'b' : 'a')),
      'latin1',
    );
    return { codes: ['entry-altered'], stream: null, version: null };
  },
  'a tile removed': ({ dataFolder }) => {
    rmSync(newestTile(dataFolder, 'tile/0/'));
    return { codes: ['tile-missing'], stream: null, version: null };
  },
  'a segment removed': inSegment((file) => rmSync(file)),
  'a segment cut': inSegment((file) => truncateSync(file, Math.floor(statSync(file).size / 2))),
  'a segment altered': inSegment((file, { random }) => flipByte(file, random)),
  'a segment put in the place of another': inSegment((file, { dataFolder, archived }) =>
    cpSync(segmentOf(dataFolder, archived[1]), file),
  ),
  'a segment struck from its object': (scene) => {
    const [id] = scene.archived;
    withDatabase(objectFile(scene.dataFolder, id), (database) => database.exec('DELETE FROM segments'));
    return { codes: ['history-damaged'], stream: `context/${id}`, version: 5 };
  },
  'the log rolled back': ({ dataFolder, earlierFolder }) => {
    replaceDatabase(logFile(dataFolder), logFile(earlierFolder));
    // What was written since may be logged again by now, in another order.
    return { codes: ['log-truncated', 'log-rewritten', 'log-split'], stream: null, version: null };
  },
  'the key of the log swapped': ({ dataFolder }) => {
    withDatabase(logFile(dataFolder), (database) => {
      const { note, origin } = logRow.parse(database.prepare('SELECT note, origin FROM log').get());
      const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
      const stranger = signingKey(origin, SIGNATURE_TYPE.note, new Uint8Array(randomBytes(32)));
      const forged = formatNote({ text, signatures: [signText(text, stranger, 0)] });
      database.prepare('UPDATE log SET note = ?, published_note = ?').run(forged, forged);
    });
    return { codes: ['key-not-trusted'], stream: null, version: null };
  },
  'a context removed': ({ dataFolder, contexts, random }) => {
    const id = random.pick([...contexts]);
    removeDatabase(contextFile(dataFolder, id));
    return { codes: ['stream-not-given'], stream: `context/${id}`, version: null };
  },
};

/** A tampering with the file of a segment, of which the server itself has to say that it cannot be read. */
function inSegment(tamper: (file: string, scene: Scene) => void): Tampering {
  return (scene) => {
    const [id] = scene.archived;
    tamper(segmentOf(scene.dataFolder, id), scene);
    return { codes: ['history-damaged'], stream: `context/${id}`, version: 5 };
  };
}

function segmentOf(dataFolder: string, id: string): string {
  const [first] = [...segmentFiles(dataFolder)].filter(([name]) => name.startsWith(`context/${id}/`)).sort();
  if (!first) throw new Error(`${id} has no segment`);
  return first[1];
}

/** A tampering with one event of one context. @param shift from the version that is drawn to the one that is named */
function inContext(tamper: (database: DatabaseSync, version: number) => readonly FindingCode[], shift = 0): Tampering {
  return ({ dataFolder, contexts, random }) => {
    const id = random.pick([...contexts]);
    return withDatabase(contextFile(dataFolder, id), (database) => {
      const versions = database
        .prepare(
          `SELECT version FROM events WHERE event LIKE '%"note":"words%' AND version < (SELECT max(version) FROM events)`,
        )
        .all()
        .map((each) => Number(each.version));
      const [first, ...more] = versions;
      if (first === undefined) throw new Error(`${id} has no events to tamper with`);
      const version = random.pick([first, ...more]);
      const codes = tamper(database, version);
      return { codes, stream: `context/${id}`, version: version + shift };
    });
  };
}

function read(database: DatabaseSync, version: number): string {
  return row.parse(database.prepare('SELECT event FROM events WHERE version = ?').get(version)).event;
}

function write(database: DatabaseSync, version: number, text: string): void {
  database.prepare('UPDATE events SET event = ? WHERE version = ?').run(text, version);
}

function lastVersion(database: DatabaseSync): number {
  return Number(database.prepare('SELECT max(version) AS version FROM events').get()?.version);
}

function insertAfter(database: DatabaseSync, version: number, text: string): void {
  // Twice: no two rows may have one version on the way.
  database.prepare('UPDATE events SET version = -version - 1 WHERE version > ?').run(version);
  database.prepare('UPDATE events SET version = -version WHERE version < 0').run();
  database.prepare('INSERT INTO events (version, event) VALUES (?, ?)').run(version + 1, text);
}

function swapLetters(text: string): string {
  return text.replace('"note":"words', '"note":"sword');
}

/** The event with something else in it, and the hash that belongs to that. */
function resealed(text: string, change: { readonly version?: number; readonly time?: string }): string {
  const { leafHash: _, ...draft } = envelopeSchema.parse(JSON.parse(text));
  return sealEvent({ ...draft, ...change }).text;
}

/** The file of the newest of the log's tiles whose path begins so: the one that its checkpoint needs. */
function newestTile(dataFolder: string, start: string): string {
  const width = (path: string) => Number(/\.p\/(\d+)$/.exec(path)?.[1] ?? 256);
  const [newest] = [...tileFiles(dataFolder)]
    .filter(([path]) => path.startsWith(start))
    .sort(([a], [b]) => b.split('.')[0]?.localeCompare(a.split('.')[0] ?? '') || width(b) - width(a));
  if (!newest) throw new Error(`There is no ${start}`);
  return newest[1];
}

function flipByte(file: string, random: Random): void {
  const bytes = readFileSync(file);
  const at = random.between(0, bytes.length - 1);
  bytes[at] = (bytes[at] ?? 0) ^ random.between(1, 255);
  writeFileSync(file, bytes);
}
