import { diffJson } from '../../events/json-patch.ts';
import { UsageError } from '../errors.ts';
import { jsonText, paint, plain, print } from '../io.ts';
import { readMoment, type Source, stateAt } from '../moments.ts';
import { type Command, readArguments, SERVER_HELP, SERVER_OPTIONS, serverOf } from '../options.ts';

const HELP = `chittyconnect diff <a> <b> [--json]

  What is different between two moments, each computed from its events: a JSON Patch (RFC 6902) that applied to the
  first gives the second. Each is a context or a file, and with @ a version or a time:

    chittyconnect diff ctx_…@3 ctx_…            since version 3
    chittyconnect diff bundle.ndjson@2026-01-31T12:00:00Z bundle.ndjson@9

  --context <id>     which one, when there are several in the file
  --json             the patch as one JSON text, on a terminal too
${SERVER_HELP}`;

/** `chittyconnect diff` */
export const DiffCommand: Command = {
  name: 'diff',
  summary: 'what is different between two moments, as a JSON Patch',
  help: HELP,
  async run(args) {
    const { values, positionals } = readArguments(args, {
      ...SERVER_OPTIONS,
      context: { type: 'string' },
      json: { type: 'boolean' },
    });
    const [a, b, ...more] = positionals;
    if (a === undefined || b === undefined || more.length > 0) throw new UsageError('Two moments are wanted');
    const rest = { context: values.context, server: serverOf(values) };
    const [from, to] = [await momentOf(a, rest), await momentOf(b, rest)];
    const patch = diffJson(from, to);
    if (values.json || !process.stdout.isTTY) await print(JSON.stringify(patch));
    else for (const operation of patch) await print(shown(operation));
    return 0;
  },
};

/** The state at `name@moment`. A file whose own name has an @ is named with one more at its end. */
async function momentOf(word: string, rest: Omit<Source, 'name'>) {
  const at = word.lastIndexOf('@');
  const [name, moment] = at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
  return stateAt({ ...rest, name }, moment === '' ? null : readMoment(moment));
}

function shown({ op, path, ...rest }: ReturnType<typeof diffJson>[number]): string {
  const colour = op === 'remove' ? 'red' : op === 'add' ? 'green' : 'yellow';
  const value = 'value' in rest ? ` ${jsonText(rest.value)}` : '';
  return `${paint(colour, op.padEnd(7))} ${plain(`${path}${value}`)}`;
}
