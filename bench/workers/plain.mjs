// The plain design that costs are compared with: each change writes D1 at once and sends one message.
import { countedEnv, used } from './counting.mjs';

const TABLES = [
  `CREATE TABLE events (stream TEXT NOT NULL, version INTEGER NOT NULL, event TEXT NOT NULL,
    PRIMARY KEY (stream, version)) WITHOUT ROWID`,
  'CREATE TABLE contexts (rowid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, body TEXT NOT NULL)',
  "CREATE VIRTUAL TABLE contexts_fts USING fts5 (text, tokenize = 'trigram', content = '', contentless_delete = 1)",
];

const json = (value) => Response.json(value);

/** The event, the state and what search finds it by, in one transaction; then the message. */
async function change({ DB, CONTEXT_OPS_QUEUE }, id, body) {
  const { name, description } = JSON.parse(body);
  const [, { results }] = await DB.batch([
    DB.prepare(
      `INSERT INTO events (stream, version, event)
       SELECT id, version + 1, ?2 FROM contexts WHERE id = ?1`,
    ).bind(id, body),
    DB.prepare('UPDATE contexts SET version = version + 1, body = ?2 WHERE id = ?1 RETURNING version').bind(id, body),
    DB.prepare('INSERT OR REPLACE INTO contexts_fts (rowid, text) SELECT rowid, ?2 FROM contexts WHERE id = ?1').bind(
      id,
      `${name}\n${description}`,
    ),
  ]);
  const version = results[0]?.version;
  await CONTEXT_OPS_QUEUE.send([{ id: `${id}/${version}`, subject: id, sequence: version, data: body }]);
  return json({ version });
}

export default {
  async fetch(request, bindings) {
    const env = countedEnv(bindings);
    const [, kind, id] = new URL(request.url).pathname.split('/');
    if (kind === 'bench') return json(used);
    if (kind === 'setup') {
      for (const table of TABLES) await bindings.DB.prepare(table).run();
      return json({});
    }
    if (kind === 'create') {
      await bindings.DB.prepare("INSERT INTO contexts (id, version, body) VALUES (?1, 1, '{}')").bind(id).run();
      return json({});
    }
    used.requests += 1;
    return change(env, id, await request.text());
  },
  queue() {
    used.batches += 1;
  },
};
