import { CONTEXT_PREFIX } from '../events/context.ts';
import { derivedId } from '../events/id.ts';
import { isKeyName } from '../events/note-keys.ts';
import { BOOTSTRAP_ACTOR } from '../src/auth/bootstrap-actor.ts';
import { readAfterDays } from '../src/cold/after-days.ts';
import { readKeepDays } from '../src/delivery/keep-days.ts';
import { witnessesOf } from '../src/log/witnesses.ts';
import { build } from './build.ts';
import { bootstrapKey, holdDataFolder, keyEncryptionKey, StartError } from './data-folder.ts';
import { clearLeftovers } from './leftovers.ts';
import { serve } from './serve.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/** The key of the example's creation: pasted twice it makes one context. */
const EXAMPLE_KEY = 'hello';

function readPort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65535) return port;
  throw new StartError(`PORT is "${text}". Set it to a number from 1 to 65535.`);
}

/** Looks at the settings that are read long after the start. @throws {StartError} when they make no sense */
function checkSettings(settings: NodeJS.ProcessEnv): void {
  const { AUDIT_KEEP_DAYS, COLD_AFTER_DAYS, LOG_ORIGIN, WEBHOOKS_TO_LOOPBACK, WITNESSES } = settings;
  if (WEBHOOKS_TO_LOOPBACK && !['true', 'false'].includes(WEBHOOKS_TO_LOOPBACK)) {
    throw new StartError(`WEBHOOKS_TO_LOOPBACK is "${WEBHOOKS_TO_LOOPBACK}". Set it to true, or leave it out.`);
  }
  if (readKeepDays(AUDIT_KEEP_DAYS) === undefined) {
    throw new StartError(
      `AUDIT_KEEP_DAYS is "${AUDIT_KEEP_DAYS}". Set it to a number of days such as 400, or leave it out.`,
    );
  }
  if (readAfterDays(COLD_AFTER_DAYS) === undefined) {
    throw new StartError(
      `COLD_AFTER_DAYS is "${COLD_AFTER_DAYS}". Set it to a number of days such as 30, or to "off".`,
    );
  }
  if (LOG_ORIGIN && !isKeyName(LOG_ORIGIN)) {
    throw new StartError(`LOG_ORIGIN is "${LOG_ORIGIN}". Set it to a name without spaces and plus signs.`);
  }
  try {
    witnessesOf(WITNESSES);
  } catch (error) {
    throw new StartError(error instanceof Error ? error.message : String(error));
  }
}

/** What is handed on to the Worker, when it is set: settings, and the tokens and addresses of the real ChittyOS services. */
const HANDED_ON =
  /^(AUDIT_KEEP_DAYS|COLD_AFTER_DAYS|CORS_ORIGINS|KEY_ENCRYPTION_KEY_PREVIOUS|LOG_ORIGIN|WITNESSES|CLIENT_ADDRESS_HEADER|METRICS_API_KEY|WEBHOOKS_TO_LOOPBACK|GITHUB_WEBHOOK_SECRET|CHITTY_[A-Z]+(_SERVICE)?_TOKEN|CHITTY_[A-Z]+_URL|CHITTY_REGISTRY_FALLBACK)$/;

function fromEnvironment(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) => (HANDED_ON.test(name) && value ? [[name, value]] : [])),
  );
}

/** What a stranger can paste: create, change, replay. The id is known before it exists, because the key gives it. */
function examples(url: string, key: string): string {
  const id = derivedId(CONTEXT_PREFIX, `${BOOTSTRAP_ACTOR} ${EXAMPLE_KEY}`);
  const auth = `-H "Authorization: Bearer ${key}"`;
  const json = `-H "Content-Type: application/json"`;
  return [
    `  curl -i ${url}/v1/contexts ${auth} ${json} -H "Idempotency-Key: ${EXAMPLE_KEY}" -d '{"name":"Hello"}'`,
    `  curl -i -X PATCH ${url}/v1/contexts/${id} ${auth} ${json} -d '{"tools":["curl"]}'`,
    `  curl -i ${url}/v1/contexts/${id}/events ${auth}`,
  ].join('\n');
}

/** Says how a rebuild goes that the start has begun. */
async function tellOfRebuild(url: string, rebuilding: Promise<boolean>, isStopping: () => boolean): Promise<void> {
  console.log('Lists and search are made anew from the logs; until that is done they do not show everything.');
  const isDone = await rebuilding;
  if (isStopping()) return;
  if (isDone) console.log('Lists and search are complete.');
  else
    console.log(`Lists and search are not complete yet. To make them anew: CHITTYCONNECT_URL=${url} npm run rebuild`);
}

async function start(): Promise<void> {
  const stop = stopOnSignal();
  const host = process.env.HOST || '127.0.0.1';
  const port = readPort(process.env.PORT || '8787');
  checkSettings(process.env);
  const folder = holdDataFolder(process.env.DATA_DIR || '.data');
  const key = bootstrapKey(folder, process.env.BOOTSTRAP_API_KEY);
  const encryptionKey = keyEncryptionKey(folder, process.env.KEY_ENCRYPTION_KEY);
  await build();
  // After an end that was none of ours, too.
  clearLeftovers(folder.path);
  const server = await serve({
    host,
    port,
    dataFolder: folder.path,
    variables: {
      BOOTSTRAP_API_KEY_SHA256: key.hash,
      KEY_ENCRYPTION_KEY: encryptionKey,
      ...fromEnvironment(),
    },
  });
  console.log(`ChittyConnect is ready at ${server.url}, data in ${folder.path}`);
  if (key.made) console.log(`API key, shown only this once: ${key.made}`);
  key.keep();
  const shown = key.made ?? '$BOOTSTRAP_API_KEY';
  if (!key.made) console.log('The lines below expect your API key in BOOTSTRAP_API_KEY.');
  console.log(`Create a context, change it, replay what happened:\n${examples(server.url, shown)}`);

  let isStopping = false;
  stop.with(async () => {
    isStopping = true;
    await server.stop();
    clearLeftovers(folder.path);
    folder.release();
  });
  if (server.rebuilding) await tellOfRebuild(server.url, server.rebuilding, () => isStopping);
}

/** Ends the process with status 0 on SIGINT and SIGTERM: at once while there is nothing to stop yet, then by stopping. */
function stopOnSignal(): { with(work: () => Promise<void>): void } {
  let work: () => Promise<void> = async () => undefined;
  const stop = () => {
    // A second signal ends it the hard way.
    for (const signal of SIGNALS) process.removeAllListeners(signal);
    work().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  const listen = () => {
    for (const signal of SIGNALS) {
      // Miniflare puts handlers of its own there, which end the process before anything is stopped.
      process.removeAllListeners(signal);
      process.on(signal, stop);
    }
  };
  listen();
  return {
    with(stopping) {
      work = stopping;
      listen();
    },
  };
}

start().catch((error: unknown) => {
  console.error(error instanceof StartError ? error.message : error);
  process.exit(1);
});
