import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isRebuildWanted, noteReadModelsLost, REBUILD_NOW } from '../projections/rebuild-wanted.ts';
import { BUNDLES } from './build.ts';
import { StartError } from './data-folder.ts';
import { isNew, migrate } from './migrate.ts';
import { webhookEgress } from './webhook-egress.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** How long workerd may take to come up: well under a second on an idle machine, many times that on one that does much else. */
const READY_MS = 60_000;

/** How often the database is asked at the start, and the pause before it is asked again, which grows. */
const ATTEMPTS = 5;
const PAUSE_MS = 200;

/** How often the sweeper runs: what `triggers.crons` in wrangler.toml says, which Miniflare does not act on. Tests are in more of a hurry. */
const SWEEP_MS = 60_000;

/** Where, in the data folder, there is something as soon as there is any stream: its directory. */
const STREAMS = join('v3', 'do', 'chittyconnect-DirectoryObject');

/** Where and on what to serve. */
export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  /** The folder that keeps everything. */
  readonly dataFolder: string;
  /** Variables and secrets for the Worker. */
  readonly variables: Readonly<Record<string, string>>;
}

/** A server that answers. */
export interface RunningServer {
  readonly url: string;
  /**
   * The rebuild of its read models, when they come from an older version or were lost: whether it was done. It may also
   * take longer than is waited for.
   */
  readonly rebuilding: Promise<boolean> | null;
  stop(): Promise<void>;
}

/**
 * Serves the bundle with Miniflare as a library on wrangler.toml's own bindings. Requests go straight to the Worker's
 * own socket: through Miniflare's entry worker each would pass a second isolate, at a third of the throughput.
 *
 * @throws {StartError} when the address cannot be had
 */
export async function serve({ host, port, dataFolder, variables }: ServeOptions): Promise<RunningServer> {
  await assertAddressIsFree(host, port);
  const hadStreams = existsSync(join(dataFolder, STREAMS));
  guardWorkerd();
  // Imported late: what workerd to run is read from the environment when the modules load.
  const [{ Log, LogLevel, Miniflare }, { unstable_getMiniflareWorkerOptions: readWranglerToml }] = await Promise.all([
    import('miniflare'),
    import('wrangler'),
  ]);
  const readOptions = (file: string): Record<string, unknown> => ({
    ...readWranglerToml(join(root, file)).workerOptions,
  });
  const [product, embedded] = [readOptions('wrangler.toml'), readOptions('embedded/wrangler.toml')];
  // Nobody but the two Workers needs to know it.
  const CHITTYOS_TOKEN = randomBytes(24).toString('base64url');
  const miniflare = new Miniflare({
    cf: false,
    log: new Log(LogLevel.WARN),
    host: '127.0.0.1',
    port: 0,
    // Where `wrangler … --local --persist-to <data folder>` looks as well.
    defaultPersistRoot: join(dataFolder, 'v3'),
    workers: [
      {
        ...product,
        bindings: Object.assign(
          {},
          product.bindings,
          { CHITTYOS_TOKEN, CLIENT_ADDRESS_HEADER: '', PUBLIC_URL: `http://${host}:${port}` },
          variables,
        ),
        serviceBindings: { CHITTYOS: 'embedded', WEBHOOK_EGRESS: webhookEgress(variables) },
        name: 'chittyconnect',
        modulesRoot: root,
        modules: moduleOf(BUNDLES.worker),
        unsafeDirectSockets: [{ host, port }],
      },
      {
        ...embedded,
        bindings: Object.assign({}, embedded.bindings, { CHITTYOS_TOKEN }),
        name: 'embedded',
        modulesRoot: root,
        modules: moduleOf(BUNDLES.embedded),
      },
    ],
  });
  await ready(miniflare);
  const database = await miniflare.getD1Database('DB', 'chittyconnect');
  const areLost = hadStreams && (await persistently(() => isNew(database)));
  await persistently(() => migrate(database, join(root, 'projections', 'migrations')));
  if (areLost) await persistently(() => noteReadModelsLost(database));
  const isWanted = await persistently(() => isRebuildWanted(database));
  const rebuild = async () => {
    try {
      const worker = await miniflare.getWorker('chittyconnect');
      await worker.scheduled({ cron: REBUILD_NOW });
      return !(await isRebuildWanted(database));
    } catch {
      // Why is in the log, unless the server was stopped.
      return false;
    }
  };
  const sweep = async () => {
    try {
      // Asked for each time: what was had before workerd crashed and came up again throws when it is touched.
      const worker = await miniflare.getWorker('chittyconnect');
      await worker.scheduled({ cron: '* * * * *' });
    } catch {
      // One that fails is followed by another.
    }
  };
  await sweep();
  const sweeper = setInterval(sweep, Number(process.env.CHITTYCONNECT_SWEEP_MS ?? SWEEP_MS));
  const url = await miniflare.unsafeGetDirectURL('chittyconnect');
  return {
    url: url.origin,
    rebuilding: isWanted ? rebuild() : null,
    stop() {
      clearInterval(sweeper);
      return miniflare.dispose();
    },
  };
}

/**
 * Does something that may be done twice until it is done: workerd closes connections that it had no time for, also those
 * on which it has just been asked, and right after a start it has little.
 */
async function persistently<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      await wait(attempt * PAUSE_MS);
    }
  }
}

/** A bundle by its text: workerd must not pick up a newer one when it is started again after a crash. */
function moduleOf(bundle: string) {
  return [{ type: 'ESModule' as const, path: bundle, contents: readFileSync(bundle, 'utf8') }];
}

/** Waits until workerd answers. @throws {StartError} when it does not come up */
async function ready(miniflare: { ready: Promise<unknown>; dispose(): Promise<void> }): Promise<void> {
  const timer = new AbortController();
  // Miniflare writes to a workerd that is gone already, and nobody listens for what comes of it.
  const { promise: crashed, reject: crash } = Promise.withResolvers<never>();
  process.on('uncaughtException', crash);
  const late = wait(READY_MS, 'late', { signal: timer.signal }).catch(() => 'late');
  try {
    const outcome = await Promise.race([miniflare.ready.then(() => 'ready'), late, crashed]);
    if (outcome === 'late') throw new Error(`it did not answer within ${READY_MS / 1000} s`);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n').at(0) ?? '') : String(error);
    throw new StartError(`workerd, the Workers runtime, did not start (${reason}). Run npm ci again.`);
  } finally {
    timer.abort();
    process.off('uncaughtException', crash);
  }
}

/** Has Miniflare start workerd by the guard. @throws {StartError} when there is no workerd that can be run */
function guardWorkerd(): void {
  if (process.platform === 'win32') return;
  const found: { default: string } = createRequire(import.meta.url)('workerd');
  const workerd = process.env.CHITTYCONNECT_WORKERD ?? found.default;
  try {
    accessSync(workerd, constants.X_OK);
  } catch {
    throw new StartError(`workerd, the Workers runtime, cannot be run: ${workerd}. Run npm ci again.`);
  }
  process.env.CHITTYCONNECT_WORKERD = workerd;
  process.env.MINIFLARE_WORKERD_PATH = join(root, 'scripts', 'workerd-guard.sh');
}

/** Fails early and in plain words: workerd's own message for a taken port is a stack trace. */
function assertAddressIsFree(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => {
      const reasons: Record<string, string> = {
        EADDRINUSE: `Port ${port} on ${host} is taken. Stop what listens there, or set PORT to another.`,
        EACCES: `Port ${port} needs more rights than this process has. Set PORT to one above 1023.`,
        EADDRNOTAVAIL: `${host} is not an address of this machine. Set HOST to one that is, such as 127.0.0.1.`,
        ENOTFOUND: `HOST ${host} has no address. Set it to one of this machine, such as 127.0.0.1.`,
      };
      reject(new StartError(reasons[error.code ?? ''] ?? `Cannot listen on ${host}:${port} (${error.code}).`));
    });
    probe.listen(port, host, () => probe.close(() => resolve()));
  });
}
