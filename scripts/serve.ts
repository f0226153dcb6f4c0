import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUNDLE } from './build.ts';
import { StartError } from './data-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

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
  guardWorkerd();
  // Imported late: what workerd to run is read from the environment when the modules load.
  const [{ Log, LogLevel, Miniflare }, { unstable_getMiniflareWorkerOptions: readWranglerToml }] = await Promise.all([
    import('miniflare'),
    import('wrangler'),
  ]);
  const settings: { workerOptions: Record<string, unknown> } = readWranglerToml(join(root, 'wrangler.toml'));
  const miniflare = new Miniflare({
    cf: false,
    log: new Log(LogLevel.WARN),
    host: '127.0.0.1',
    port: 0,
    defaultPersistRoot: dataFolder,
    workers: [
      {
        ...settings.workerOptions,
        bindings: Object.assign({}, settings.workerOptions.bindings, variables),
        name: 'chittyconnect',
        modules: true,
        scriptPath: BUNDLE,
        unsafeDirectSockets: [{ host, port }],
      },
    ],
  });
  await miniflare.ready;
  const url = await miniflare.unsafeGetDirectURL('chittyconnect');
  return { url: url.origin, stop: () => miniflare.dispose() };
}

function guardWorkerd(): void {
  if (process.platform === 'win32' || process.env.CHITTYCONNECT_WORKERD) return;
  const workerd: { default: string } = createRequire(import.meta.url)('workerd');
  process.env.CHITTYCONNECT_WORKERD = workerd.default;
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
