import { inspect } from 'node:util';
import { DiffCommand } from './commands/diff.ts';
import { ExportCommand } from './commands/export.ts';
import { ReplayCommand } from './commands/replay.ts';
import { TailCommand } from './commands/tail.ts';
import { VerifyCommand } from './commands/verify.ts';
import { EXIT, NotVerifiedError, ServerError, UsageError } from './errors.ts';
import { paint, plain, print, tell } from './io.ts';
import { type Command, codeOf } from './options.ts';

const COMMANDS: readonly Command[] = [VerifyCommand, ExportCommand, ReplayCommand, DiffCommand, TailCommand];

const HELP = `chittyconnect: the histories of contexts, exported, verified and replayed

${COMMANDS.map(({ name, summary }) => `  chittyconnect ${name.padEnd(8)} ${summary}`).join('\n')}

  chittyconnect <command> --help says what a command takes.
  It ends with 0, with 1 when something is not verified, 2 when it was called wrongly or a file cannot be read or written,
  3 when the server cannot be reached, refuses, or gives something else, 70 when the tool itself is wrong.`;

/** Runs a command of the tool. @returns the exit status */
export async function main(args: readonly string[]): Promise<number> {
  process.stdout.on('error', (error) => {
    // Whoever reads the output may have had enough of it, as `head` has.
    if (codeOf(error) === 'EPIPE') process.exit(EXIT.ok);
    tell(`chittyconnect: the output cannot be written (${codeOf(error)})`);
    process.exit(EXIT.usage);
  });
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    await print(HELP);
    return name === undefined ? EXIT.usage : EXIT.ok;
  }
  const command = COMMANDS.find((each) => each.name === name);
  try {
    if (!command) throw new UsageError(`There is no command ${name}`);
    if (rest.includes('--help') || rest.includes('-h')) {
      await print(command.help);
      return EXIT.ok;
    }
    return await command.run(rest);
  } catch (error) {
    return explain(error, command);
  }
}

function explain(error: unknown, command: Command | undefined): number {
  if (error instanceof UsageError) {
    tell(`chittyconnect: ${plain(error.message)}`);
    tell(`See chittyconnect ${command ? `${command.name} ` : ''}--help`);
    return EXIT.usage;
  }
  if (error instanceof ServerError || error instanceof NotVerifiedError) {
    tell(`chittyconnect: ${paint('red', plain(error.message))}`);
    return error instanceof ServerError ? EXIT.unreachable : EXIT.notVerified;
  }
  tell(`chittyconnect: this is a mistake in the tool itself: ${plain(inspect(error))}`);
  return EXIT.internal;
}
