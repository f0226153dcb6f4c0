import { UsageError } from '../errors.ts';
import { jsonText, print } from '../io.ts';
import { readMoment, stateAt } from '../moments.ts';
import { type Command, readArguments, SERVER_HELP, SERVER_OPTIONS, serverOf } from '../options.ts';

const HELP = `chittyconnect replay <context | file | -> [--at <version | time>] [--context <id>]

  Computes the state of a context from its events, as it is or as it was, and prints it as JSON. Each event must be
  what was hashed. A file is a bundle, an export, or events as NDJSON, gzip or not.

  --at <moment>      a version such as 3, or a time such as 2026-01-31T12:00:00Z; else the latest
  --context <id>     which one, when there are several in the file
${SERVER_HELP}`;

/** `chittyconnect replay` */
export const ReplayCommand: Command = {
  name: 'replay',
  summary: 'the state of a context at any version or time, computed from its events',
  help: HELP,
  async run(args) {
    const { values, positionals } = readArguments(args, {
      ...SERVER_OPTIONS,
      at: { type: 'string' },
      context: { type: 'string' },
      json: { type: 'boolean' },
    });
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0) throw new UsageError('One context or one file is wanted');
    const moment = values.at === undefined ? null : readMoment(values.at);
    const state = await stateAt({ name, context: values.context, server: serverOf(values) }, moment);
    await print(values.json ? JSON.stringify(state) : jsonText(state));
    return 0;
  },
};
