import { figure } from '../report.ts';
import type { Section } from '../section.ts';
import { measureUse, type Use } from '../use.ts';

/** What a change writes to D1, which bills each row. */
export const d1: Section = {
  name: 'd1',
  title: 'What a change uses beyond its object',
  method:
    'Counted in the Worker: the `rows_written` that D1 gives with each statement, statements’ batches, messages, and ' +
    'calls and alarms of objects, from the first change until everything it leads to is done. Each change gives the ' +
    'context a new name and description, and so new words to find it by. All sinks are on. D1 here does not count what ' +
    'SQLite writes inside of the search index for its one row.',
  explanation:
    'What bounds it, read from the code and not from a profile: a drain writes a context’s row, its entry in the search ' +
    'index when that changed, one row of the feed, two rows for each word that nothing had before, and its entry in the ' +
    'index of changes once an hour. A busy context drains every 4 s at most, so the busier it is, the less falls on each ' +
    'change. Its entry in the audit trail is three rows once a minute and one row every 10 s, for all changes that are alike.',
  async run(options) {
    const uses = await measureUse(options);
    const columns = ['per change', 'changes', 'D1 rows written', 'D1 batches', 'messages', 'object calls', 'alarms'];
    return { table: { columns, rows: uses.map(line) } };
  },
};

function line(use: Use): string[] {
  const per = (value: number) => (value / use.changes).toFixed(3);
  return [
    use.name,
    use.changes.toLocaleString('en'),
    `**${figure(use.d1RowsWritten / use.changes)}**`,
    per(use.d1Calls),
    per(use.messages),
    per(use.objectCalls),
    per(use.alarms),
  ];
}
