import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Billed, PRICES, PRICES_READ, STORAGE } from './prices.ts';
import { figure, machine, verdict, writeTable } from './report.ts';
import { ROOT, Workspace } from './servers.ts';
import { CONTEXTS, measurePlain, measureUse, type Use } from './use.ts';

/** What a busy context may cost of what the plain design does. */
const AIM = 0.5;
const MILLION = 1_000_000;
/** Operations of the queue for each part of a message: it is written, read and deleted. */
const OPERATIONS = 3;
/** Milliseconds that each wait for D1, the queue or an object may take longer on the platform than here. */
const LONGER_MS = 50;
/** What is said of a short run. */
const SHORT =
  '**A short run (`--quick`)**: a quarter of the time, in which drains have not come to their longest pauses.';
/** The transparency log: its objects, the seconds between two checkpoints at least, and the files of one at most. */
const LOG = { objects: 17, checkpointS: 2, files: 4 };
const MONTH_S = 30 * 24 * 60 * 60;
/** A delivery of a webhook by itself: rows in its object (test/worker/webhook-model.test.ts), and calls of objects. */
const WEBHOOK = { rows: 4, calls: 3 };
/** The sweeper: minutes of a month, directory shards, and streams that it wakes in each of them at most. */
const SWEEP = { minutes: 30 * 24 * 60, shards: 16, streams: 20 };

const { values } = parseArgs({
  options: { quick: { type: 'boolean' }, contexts: { type: 'string' }, out: { type: 'string' } },
});
const contexts = Number(values.contexts ?? CONTEXTS);
const workspace = new Workspace();
const options = {
  workspace,
  rounds: 1,
  roundMs: 2_000,
  shrink: values.quick ? 4 : 1,
  progress: (text: string) => console.error(`cost: ${text}`),
};
try {
  const plain = await measurePlain(options);
  const document = write(await measureUse(options, contexts), plain);
  const file = values.out ?? join(ROOT, 'docs', 'cost.md');
  writeFileSync(file, document);
  console.error(`Written to ${file}`);
} finally {
  workspace.remove();
}
process.exit();

/** How much of each thing a million such changes use. */
function billed(use: Use): Record<Billed, number> {
  const perMillion = (value: number) => (value / use.changes) * MILLION;
  return {
    requests: perMillion(use.requests + use.batches),
    cpuMs: perMillion(use.cpuMs),
    objectCalls: perMillion(use.objectCalls + use.alarms),
    objectMs: perMillion(use.objectMs),
    objectRowsWritten: perMillion(use.objectRowsWritten + use.logRowsWritten),
    objectRowsRead: perMillion(use.objectRowsRead),
    d1RowsWritten: perMillion(use.d1RowsWritten),
    d1RowsRead: perMillion(use.d1RowsRead),
    messageOperations: perMillion(use.messageParts * OPERATIONS),
    bucketWrites: perMillion(use.bucketWrites),
    bucketReads: perMillion(use.bucketReads),
  };
}

function dollarsOf(use: Use): number {
  const uses = billed(use);
  return names().reduce((sum, name) => sum + uses[name] * PRICES[name].dollars, 0);
}

/** What a part of a use is for a million changes, and what it costs. */
function part(use: Use, amount: number, name: Billed): string {
  const million = (amount / use.changes) * MILLION;
  return `${figure(million / MILLION)} M: ${dollars(million * PRICES[name].dollars)}`;
}

function names(): Billed[] {
  return Object.keys(PRICES).filter((name): name is Billed => name in PRICES);
}

function dollars(value: number): string {
  return `$${value.toFixed(value < 0.1 ? 3 : 2)}`;
}

function write(uses: readonly Use[], plain: Use): string {
  const all = [...uses, plain];
  const totals = all.map(dollarsOf);
  const plainTotal = dollarsOf(plain);
  const rows = names().map((name) => [
    PRICES[name].what,
    PRICES[name].published,
    ...all.map((use) => {
      const amount = billed(use)[name];
      return `${figure(amount / MILLION)} M: ${dollars(amount * PRICES[name].dollars)}`;
    }),
  ]);
  const busy = uses.filter(({ name }) => !name.startsWith('lone'));
  const lone = uses.filter(({ name }) => name.startsWith('lone'));
  const ratio = (use: Use) => figure(dollarsOf(use) / plainTotal);
  const sources = [...new Set(names().map((name) => PRICES[name].source))];
  const waits = (use: Use) => use.d1Calls + use.messages + use.objectCalls + use.alarms;
  const longer = (use: Use) => dollars((waits(use) / use.changes) * MILLION * LONGER_MS * PRICES.objectMs.dollars);
  const logged = [
    ['calls of its objects, and by them', ...uses.map((use) => part(use, use.logCalls, 'objectCalls'))],
    ['milliseconds of active objects', ...uses.map((use) => part(use, use.logMs, 'objectMs'))],
    ['rows written', ...uses.map((use) => part(use, use.logRowsWritten, 'objectRowsWritten'))],
    ['writes to the bucket', ...uses.map((use) => part(use, use.bucketWrites, 'bucketWrites'))],
  ];
  const checkpoint = LOG.files * PRICES.bucketWrites.dollars;
  const alwaysActive = LOG.objects * MONTH_S * 1000 * PRICES.objectMs.dollars;
  const webhooks = {
    million: MILLION * (WEBHOOK.rows * PRICES.objectRowsWritten.dollars + WEBHOOK.calls * PRICES.objectCalls.dollars),
    month: MONTH_S * (PRICES.objectRowsWritten.dollars + PRICES.objectCalls.dollars),
  };
  const swept = SWEEP.minutes * SWEEP.shards * (1 + SWEEP.streams) * PRICES.objectCalls.dollars;
  return [
    '# What a million changes cost',
    `Written by \`npm run cost\`; change the text in \`bench/cost.ts\`, not here. The prices are Cloudflare’s for the ` +
      `Workers Paid plan as its documentation gave them when it was read on ${PRICES_READ}, beyond what the plan’s $5 a month includes (10 million ` +
      'requests, 1 million calls of objects, 50 million rows written in objects and as many in D1, 1 million operations ' +
      `of queues): ${sources.map((source) => `<${source}>`).join(', ')}.`,
    ...[
      machine()
        .map((line) => `- ${line}`)
        .join('\n'),
    ],
    ...(values.quick ? [SHORT] : []),
    ...(contexts < CONTEXTS
      ? [`**${contexts} busy contexts instead of ${CONTEXTS} (\`--contexts ${contexts}\`)**, as often changed each.`]
      : []),
    'Everything is counted in a run (`bench/workers/counting.mjs`): requests, calls and alarms of objects, each statement’s ' +
      'rows, each message, and how long objects were active. Each change gives a context a new name and description by ' +
      '`PATCH`; all come from one caller. What the changes lead to later is counted too: it is waited until everything is delivered. Ten ' +
      'changes a second are asked for on each of the busy contexts, and sixty on the hot one; made were in all ' +
      `${busy.map(({ perSecond }) => figure(perSecond)).join(' and ')} a second. The fewer, the less there is to share. A lone change is that of a context that has been ` +
      'idle for long. The audit trail, the feed and the transparency log are part of it. Changes that are alike share an ' +
      'entry of the trail for a minute; many callers that take turns on one stream would have an entry each.',
    'The plain design (`bench/workers/plain.mjs`) is a Worker without objects: each change writes D1 in one transaction ' +
      '(the event, the context, what search finds it by) and sends one message. It has no live subscribers, no order of ' +
      'delivery, no idempotency, no audit trail, no feed over all contexts and no proof; what those would cost is not added ' +
      'to it.',
    writeTable({
      columns: ['a million changes', 'price', ...all.map(({ name }) => name)],
      rows: [...rows, ['**all**', '', ...totals.map((total) => `**${dollars(total)}**`)]],
    }),
    '## In short',
    [
      ...busy.map(
        (use) =>
          `- ${use.name}: **${ratio(use)}** of the plain design; aim ≤ ${figure(AIM)}: ` +
          `${verdict(dollarsOf(use) / plainTotal <= AIM)}.`,
      ),
      ...lone.map(
        (use) =>
          `- ${use.name}: **${ratio(use)}** of the plain design. There is nothing to share: each has its own write to ` +
          'D1, its own message and its own alarm behind it, and the object has rows of its own beside.',
      ),
    ].join('\n'),
    '## The transparency log',
    'In the table above; this is its part of it. A busy stream hands in its newest head every 4 s at most, not its events.',
    writeTable({ columns: ['a million changes', ...uses.map(({ name }) => name)], rows: logged }),
    [
      `- Checkpoints are at least ${LOG.checkpointS} s apart and ${LOG.files} files each at most (up to 16 million heads), so ` +
        `the bucket is at most ${dollars((MONTH_S / LOG.checkpointS) * checkpoint)} a month, however many changes there ` +
        `are; its ${LOG.objects} objects, were they never idle, ${dollars(alwaysActive)}.`,
      '- Lone changes follow each other at once in this run and share a checkpoint. One that has a checkpoint for itself is ' +
        `${LOG.files} files: ${dollars(checkpoint * MILLION)} a million, up to that most. Where that is too much for what it ` +
        'is good for, a service without the bucket LOG_TILES has no log.',
      '- Files of tiles that are not full are listed and removed ten minutes later: one list for 256 heads, not in this run.',
      `- The bucket keeps about 170 bytes a head, its entry and its hash: ${dollars(STORAGE.bucket.dollars)} a month for a gigabyte, 6 million heads.`,
    ].join('\n'),
    '## What is not in the table',
    [
      `- On the platform D1, queues and calls take longer than on one machine, and objects are active meanwhile. If each ` +
        `took ${LONGER_MS} ms more: ${uses.map((use) => `${use.name} ${longer(use)}`).join(', ')} more a million. The plain ` +
        'design has no objects to wait.',
      `- Storage, each month: an event of these has about 0.4 KB, so a million of them 0.4 GB: ` +
        `${dollars(0.4 * STORAGE.objects.dollars)} in objects, ${dollars(0.4 * STORAGE.d1.dollars)} in D1, where the plain ` +
        'design has them. An entry of the audit trail has 0.6 KB in D1 with its indexes: 0.6 GB for a million lone changes ' +
        `(${dollars(0.6 * STORAGE.d1.dollars)}), next to nothing where changes share entries; AUDIT_KEEP_DAYS bounds it, and ` +
        'removing an entry is as many billed rows as writing it.',
      `- The sweeper, whatever else happens: every minute it asks ${SWEEP.shards} directory objects, each of which names ` +
        `up to ${SWEEP.streams} streams to look at: ${dollars(swept)} a month once there are more than ` +
        `${SWEEP.shards * SWEEP.streams} streams.`,
      `- Webhooks: a delivery writes up to ${WEBHOOK.rows} rows in its own object and calls ${WEBHOOK.calls} objects, a million ` +
        `of them ${dollars(webhooks.million)}, about half where they come together. While there are any, one object looks at ` +
        `the feed every second: ${dollars(webhooks.month)} a month. While there are none they cost nothing, and an event ` +
        'never costs more for them.',
      '- CPU is that of the whole server here, the embedded ChittyOS services included, which on the platform are somebody ' +
        'else’s.',
      '- A creation is more than a change: it is registered in the directory, and provisioning adds six events.',
      '- D1 here does not count the rows that SQLite writes inside of a search index for its one row, on either side.',
    ].join('\n'),
  ]
    .join('\n\n')
    .concat('\n');
}
