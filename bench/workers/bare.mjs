// What the product is compared with: the strongest simple form of a durable append, without anything else.
import { DurableObject } from 'cloudflare:workers';

/** One row per append: a key and one column. */
export class BareLog extends DurableObject {
  constructor(context, env) {
    super(context, env);
    this.sql = context.storage.sql;
    this.sql.exec('CREATE TABLE IF NOT EXISTS log (version INTEGER PRIMARY KEY, body TEXT NOT NULL)');
    this.version = this.sql.exec('SELECT coalesce(max(version), 0) AS version FROM log').one().version;
  }

  append(body) {
    this.version += 1;
    this.sql.exec('INSERT INTO log (version, body) VALUES (?, ?)', this.version, body);
    return this.version;
  }
}

/** Hibernating sockets and nothing else: a message that is posted goes to all of them. */
export class BareBroadcast extends DurableObject {
  async fetch(request) {
    if (request.headers.get('Upgrade') === 'websocket') {
      const [client, server] = Object.values(new WebSocketPair());
      this.ctx.acceptWebSocket(server);
      server.send('{"type":"hello"}');
      return new Response(null, { status: 101, webSocket: client });
    }
    const message = await request.text();
    for (const socket of this.ctx.getWebSockets()) socket.send(message);
    return new Response('{}', { headers: { 'Content-Type': 'application/json' } });
  }
}

/** Ids by name: deriving one from its name is a hash, which a simple form can spare itself. */
const ids = new Map();

function object(namespace, name) {
  let id = ids.get(name);
  if (!id) {
    id = namespace.idFromName(name);
    ids.set(name, id);
  }
  return namespace.get(id);
}

export default {
  async fetch(request, env) {
    const [, kind, name] = new URL(request.url).pathname.split('/');
    if (kind === 'append') {
      const version = await object(env.LOGS, name).append(await request.text());
      return new Response(`{"version":${version}}`, { headers: { 'Content-Type': 'application/json' } });
    }
    if (kind === 'broadcast') return object(env.BROADCASTS, name).fetch(request);
    return new Response('{}', { headers: { 'Content-Type': 'application/json' } });
  },
};
