import { addRelation, addToLog, followCheckpoint, type LogTrust, openTrusted } from '../../client/checkpoints.ts';
import { type Checkpoint, compareCheckpoints, type TreeHead } from '../../events/checkpoint.ts';
import { Findings } from '../../events/finding.ts';
import { verifyExport } from '../../events/verify-export.ts';
import { auditServer } from '../audit-server.ts';
import { EXIT, UsageError } from '../errors.ts';
import { DamagedInput, readInput } from '../input.ts';
import { Progress } from '../io.ts';
import { type Command, readArguments, readText, readUrl, SERVER_OPTIONS, serverOf } from '../options.ts';
import { Server } from '../server.ts';
import { findStreams, isStreamName } from '../streams.ts';
import { earlierHeads, readEarlier, trustedKeys } from '../trust.ts';
import { report, type Summary, tellStream } from '../verify-report.ts';

const HELP = `chittyconnect verify <file | - | url> [id …] --key <key | file>

  Verifies a proof bundle or an export (a file, or - for standard input, gzip or not), offline; or a running server: its
  whole log; of each context, actor and connection that you may read, or of those named, every event that the log vouches
  for; and that the states of contexts which it serves are those that the events lead to. It says which event of which
  stream does not fit, and why. It counts the streams in the log that you are not shown, and those of other types, whose
  events nobody is given and which are not looked at.

  --key <key>         a verifier key that you trust, of the log or of a witness; or a file of them, one a line, or what
                      /log/keys answered when you first looked. It can be given several times
  --witnesses <n>     how many of the witnesses whose keys are given must have signed; 0
  --checkpoint <file> a checkpoint that you kept: what is verified must follow from it. It finds history that was
                      rewritten or cut, and logs that tell different people different things
  --earlier <export>  an export that you verified earlier: each history must begin with what it was then
  --against <url>     of a file: the log that runs there must follow from what the file says. A checkpoint that you kept
                      and the file have to be compared through it, too, when the file is the newer one
  --complete          of a server: you may read all there is, so what is not shown is missing
  --key-file <file>   of a server: a file with your API key; else it is taken from CHITTYCONNECT_API_KEY
  --json              the verdict as JSON`;

const OPTIONS = {
  'key-file': SERVER_OPTIONS['key-file'],
  key: { type: 'string', multiple: true },
  witnesses: { type: 'string' },
  checkpoint: { type: 'string', multiple: true },
  earlier: { type: 'string' },
  against: { type: 'string' },
  complete: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

/** `chittyconnect verify` */
export const VerifyCommand: Command = {
  name: 'verify',
  summary: 'whether a bundle, an export or a running server is what was written',
  help: HELP,
  async run(args) {
    const { values, positionals } = readArguments(args, OPTIONS);
    const [subject, ...ids] = positionals;
    if (subject === undefined) throw new UsageError('A file, - or the URL of a server is wanted');
    const isServer = /^https?:/.test(subject);
    for (const name of ['earlier', 'against'] as const) {
      if (isServer && values[name] !== undefined) throw new UsageError(`--${name} is for files`);
    }
    if (!isServer && (values.complete || ids.length > 0)) throw new UsageError('--complete and ids are for a server');
    const unknown = ids.find((id) => !isStreamName(id));
    if (unknown !== undefined) throw new UsageError(`${unknown} is not the id of a context, an actor or a connection`);
    const keys = trustedKeys(values.key ?? []);
    const witnesses = readCount(values.witnesses ?? '0');
    const findings = new Findings();
    const earlier = (values.checkpoint ?? []).flatMap((file) => readEarlier(file, readText(file), keys, findings));
    const trust: LogTrust = { keys, witnesses, earlier };
    const isJson = values.json === true;
    const summary = isServer
      ? await verifyServer(
          serverOf({ ...values, server: subject }),
          trust,
          ids,
          values.complete === true,
          findings,
          isJson,
        )
      : await verifyFile(subject, trust, values, findings, isJson);
    await report(summary, findings, keys, isJson);
    return findings.list.length === 0 ? EXIT.ok : EXIT.notVerified;
  },
};

async function verifyServer(
  server: Server,
  trust: LogTrust,
  ids: readonly string[],
  isComplete: boolean,
  findings: Findings,
  isJson: boolean,
): Promise<Summary> {
  const streams = await findStreams(server, ids);
  const progress = new Progress();
  const audit = await auditServer(server, trust, { streams, isComplete }, findings, {
    progress: (share, what) => progress.at(share, what),
    stream({ stream, events, isShown, isVerified }) {
      if (isJson || !isShown) return;
      progress.end();
      tellStream(stream, events, isVerified);
    },
  });
  progress.end();
  return audit;
}

async function verifyFile(
  file: string,
  trust: LogTrust,
  { earlier, against }: { readonly earlier?: string; readonly against?: string },
  findings: Findings,
  isJson: boolean,
): Promise<Summary> {
  const heads: ReadonlyMap<string, readonly TreeHead[]> =
    earlier === undefined ? new Map() : await earlierHeads(earlier);
  const other = against === undefined ? null : new Server(readUrl(against), undefined);
  const counts = { streams: 0, events: 0 };
  let newest: Checkpoint | null = null;
  let isWhole = true;
  try {
    const verdict = await verifyExport(
      readInput(file),
      { ...trust, earlier: heads },
      ({ stream, head, isVerified }) => {
        counts.streams++;
        counts.events += head.size;
        if (!isJson) tellStream(stream ?? file, head.size, isVerified);
      },
    );
    for (const finding of verdict.findings) findings.add(finding);
    findings.more += verdict.moreFindings;
    isWhole = verdict.isWhole;
    newest = verdict.checkpoints.at(-1) ?? null;
    await compareLogs(verdict.checkpoints, trust, other, findings);
  } catch (error) {
    if (!(error instanceof DamagedInput)) throw error;
    addToLog(findings, 'input-damaged', error.message);
    isWhole = false;
  }
  return { checkpoint: newest, ...counts, isWhole };
}

/** Compares the checkpoints of a file with those that were kept, and with what a running log says now. */
async function compareLogs(
  checkpoints: readonly Checkpoint[],
  trust: LogTrust,
  other: Server | null,
  findings: Findings,
): Promise<void> {
  for (const checkpoint of checkpoints) {
    for (const earlier of trust.earlier) {
      const needsProof = earlier.origin === checkpoint.origin && earlier.size < checkpoint.size;
      if (!needsProof) addRelation(findings, earlier, checkpoint, compareCheckpoints(earlier, checkpoint, []));
      else if (other) await followCheckpoint(other, earlier, checkpoint, findings);
      else {
        const message = `Whether ${checkpoint.origin} at size ${checkpoint.size} follows from the checkpoint of size ${earlier.size} cannot be told offline: name the server with --against`;
        addToLog(findings, 'log-not-compared', message);
      }
    }
  }
  const note = other && (await other.checkpoint());
  if (!other) return;
  const now =
    note === null ? null : openTrusted(note, trust, findings, `The checkpoint of ${other.url.host}`).checkpoint;
  for (const checkpoint of checkpoints) {
    if (now) await followCheckpoint(other, checkpoint, now, findings);
    else addToLog(findings, 'log-truncated', `${other.url.host} has no checkpoint, where the file has one`);
  }
}

function readCount(text: string): number {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  throw new UsageError(`--witnesses ${text} is no number from 0 to 99`);
}
