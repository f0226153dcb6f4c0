import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Miniflare } from 'miniflare';
import { BUNDLES, build } from '../scripts/build.ts';
import { migrate } from '../scripts/migrate.ts';
import { freePort, type Server, startServer, stopServer } from '../test/support/server.ts';
import { API_KEY } from './api-key.ts';
import { workerdsOf } from './cpu.ts';

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

const COMPATIBILITY = {
  compatibilityDate: '2026-07-01',
  compatibilityFlags: ['nodejs_compat'],
};

/** A server under measurement. */
export interface BenchServer {
  readonly url: string;
  /** Its workerd, where that can be told. */
  readonly pid: number | undefined;
  stop(): Promise<void>;
}

/** A Worker to serve. */
export interface WorkerOptions {
  /** Names the folder of its data. */
  readonly name: string;
  /** The file that is served, bundled first. */
  readonly entry: string;
  /** It is the product: it gets the bindings of wrangler.toml, its read models, and ChittyOS if that is asked for. */
  readonly product?: 'with ChittyOS' | 'alone';
  /** Durable Object classes by binding, of what is not the product. */
  readonly objects?: Readonly<Record<string, string>>;
  /** Bindings of its own, of what is not the product, as Miniflare takes them. */
  readonly bindings?: Readonly<Record<string, unknown>>;
  readonly variables?: Readonly<Record<string, string>>;
  /** Opens V8's inspector; it slows nothing down until a client attaches. */
  readonly inspector?: boolean;
}

/** What the product is compared with. */
export const BARE: WorkerOptions = {
  name: 'bare',
  entry: 'bench/workers/bare.mjs',
  objects: { LOGS: 'BareLog', BROADCASTS: 'BareBroadcast' },
};

/** A server whose V8 can be inspected. */
export interface WorkerServer extends BenchServer {
  readonly miniflare: Miniflare;
}

/** A folder for the data of a run, on the disk that holds the system's temporary files. */
export class Workspace {
  readonly path: string = mkdtempSync(join(tmpdir(), 'chittyconnect-bench-'));

  folder(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** Starts the product the way `npm start` does. */
export async function startProduct(workspace: Workspace): Promise<BenchServer> {
  const server: Server = await startServer({
    port: await freePort(),
    dataFolder: workspace.folder('product'),
    apiKey: API_KEY,
  });
  return {
    url: server.url,
    pid: workerdsOf(server.pid)[0],
    stop: async () => {
      await stopServer(server);
    },
  };
}

/** Serves a Worker on the engine of the product: the same Miniflare, a direct socket, its data on the same disk. */
export async function startWorker(workspace: Workspace, options: WorkerOptions): Promise<WorkerServer> {
  guardWorkerd();
  const others = new Set(workerdsOf(process.pid));
  const { Log, LogLevel, Miniflare } = await import('miniflare');
  const port = await freePort();
  const settings = options.product === undefined ? ownSettings(options) : await readWranglerToml('wrangler.toml');
  const isWhole = options.product === 'with ChittyOS';
  if (isWhole) await build();
  const { bindings, serviceBindings: _, ...rest } = settings;
  const miniflare = new Miniflare({
    cf: false,
    log: new Log(LogLevel.WARN),
    host: '127.0.0.1',
    port: 0,
    defaultPersistRoot: workspace.folder(options.name),
    ...(options.inspector && { inspectorPort: await freePort() }),
    workers: [
      {
        ...rest,
        bindings: Object.assign(
          {},
          bindings,
          options.variables,
          isWhole && { CHITTYOS_TOKEN: API_KEY, PUBLIC_URL: `http://127.0.0.1:${port}` },
        ),
        ...(isWhole && { serviceBindings: { CHITTYOS: 'embedded' } }),
        name: options.name,
        modules: true,
        modulesRoot: workspace.path,
        scriptPath: bundle(workspace, options),
        unsafeDirectSockets: [{ host: '127.0.0.1', port }],
      },
      ...(isWhole ? [await embeddedWorker()] : []),
    ],
  });
  await miniflare.ready;
  if (options.product) {
    await migrate(await miniflare.getD1Database('DB', options.name), join(ROOT, 'projections', 'migrations'));
  }
  // The sweep of a start, as in scripts/serve.ts: it makes the service's own place in ChittyOS.
  if (isWhole) await (await miniflare.getWorker(options.name)).scheduled({ cron: '* * * * *' });
  const pid = workerdsOf(process.pid).find((candidate) => !others.has(candidate));
  return { url: `http://127.0.0.1:${port}`, pid, miniflare, stop: () => miniflare.dispose() };
}

function ownSettings({ objects = {}, bindings = {} }: WorkerOptions): Record<string, unknown> {
  const classes = Object.entries(objects).map(([binding, className]) => [binding, { className, useSQLite: true }]);
  return { ...COMPATIBILITY, ...bindings, durableObjects: Object.fromEntries(classes) };
}

/** A Worker's own bindings, read the way scripts/serve.ts reads them. */
async function readWranglerToml(file: string): Promise<Record<string, unknown>> {
  const { unstable_getMiniflareWorkerOptions: read } = await import('wrangler');
  return { ...read(join(ROOT, file)).workerOptions };
}

/** The ChittyOS services that come with the product, as scripts/serve.ts serves them. */
async function embeddedWorker() {
  const { bindings, ...rest } = await readWranglerToml('embedded/wrangler.toml');
  const name = 'embedded';
  const variables = Object.assign({}, bindings, { CHITTYOS_TOKEN: API_KEY });
  return {
    ...rest,
    bindings: variables,
    name,
    modules: true as const,
    modulesRoot: join(ROOT, '.build'),
    scriptPath: BUNDLES.embedded,
  };
}

/** Bundles with wrangler, as the product is: what a bundler adds is then the same on all sides. */
function bundle(workspace: Workspace, { name, entry }: WorkerOptions): string {
  const folder = workspace.folder(join('bundles', name));
  const config = join(folder, 'wrangler.json');
  writeFileSync(
    config,
    JSON.stringify({
      name,
      main: join(ROOT, entry),
      compatibility_date: COMPATIBILITY.compatibilityDate,
      compatibility_flags: COMPATIBILITY.compatibilityFlags,
    }),
  );
  execFileSync(
    process.execPath,
    [
      join(ROOT, 'node_modules/wrangler/bin/wrangler.js'),
      'deploy',
      '--dry-run',
      '--config',
      config,
      '--outdir',
      folder,
    ],
    {
      env: { ...process.env, WRANGLER_SEND_METRICS: 'false', WRANGLER_LOG: 'error' },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  return join(folder, basename(entry).replace(/\.\w+$/, '.js'));
}

/** The product's guard: workerd ends with this process however that ends, and may open as many sockets as it can. */
function guardWorkerd(): void {
  if (process.platform === 'win32' || process.env.CHITTYCONNECT_WORKERD) return;
  const workerd: { default: string } = createRequire(import.meta.url)('workerd');
  process.env.CHITTYCONNECT_WORKERD = workerd.default;
  process.env.MINIFLARE_WORKERD_PATH = join(ROOT, 'scripts', 'workerd-guard.sh');
}
