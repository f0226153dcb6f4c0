import { connect, LiveError, type LiveMessage, ProblemError } from '../../client/client.ts';
import { ServerError, UsageError } from '../errors.ts';
import { paint, plain, print, withoutBoxes } from '../io.ts';
import { isContextName } from '../moments.ts';
import { type Command, readArguments, SERVER_HELP, SERVER_OPTIONS, serverOf } from '../options.ts';

const HELP = `chittyconnect tail <context> [--after <version>] [--json]

  Prints what happens to a context as it happens, each event once and in order, across broken connections. It ends when
  the context is deleted, or with Ctrl-C.

  --after <version>  what happened after this version comes first; 0 for all of it. Else only what is new
  --json             each event whole, as one line of JSON; also when the output is no terminal
${SERVER_HELP}`;

/** `chittyconnect tail` */
export const TailCommand: Command = {
  name: 'tail',
  summary: 'what happens to a context, live',
  help: HELP,
  async run(args) {
    const { values, positionals } = readArguments(args, {
      ...SERVER_OPTIONS,
      after: { type: 'string' },
      json: { type: 'boolean' },
    });
    const [id, ...more] = positionals;
    if (id === undefined || more.length > 0 || !isContextName(id))
      throw new UsageError('The id of one context is wanted');
    const after = values.after === undefined ? undefined : readVersion(values.after);
    const server = serverOf(values);
    // Once: what passes while connected is mended; a server that is not there is said at once.
    await server.get(`v1/contexts/${encodeURIComponent(id)}/events?limit=1`);
    const client = connect({ baseUrl: server.url, apiKey: server.apiKey });
    const isJson = values.json === true || !process.stdout.isTTY;
    const stop = new AbortController();
    process.once('SIGINT', () => stop.abort());
    try {
      for await (const message of client.watch(id, { after, signal: stop.signal })) {
        if (message.type === 'event') await print(isJson ? JSON.stringify(message.event) : shown(message));
      }
    } catch (error) {
      if (stop.signal.aborted) return 0;
      if (error instanceof LiveError || error instanceof ProblemError) throw new ServerError(error.message);
      throw error;
    }
    return 0;
  },
};

function readVersion(text: string): number {
  const version = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(version)) return version;
  throw new UsageError(`--after ${text} is no version`);
}

function shown({ event }: Extract<LiveMessage, { type: 'event' }>): string {
  const { version, time, type, actor, data } = event;
  const head = `${paint('bold', String(version).padStart(5))} ${paint('dim', time)} ${type}`;
  return `${head} ${paint('dim', `by ${plain(actor)}`)} ${plain(withoutBoxes(JSON.stringify(data)))}`;
}
