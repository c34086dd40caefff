import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../lib/duration.ts';
import { EVENTS } from './audit-arguments.ts';

/** `agent3 audit`: what was asked, run and decided. */
export function addAudit(program: Command): void {
  const audit = program
    .command('audit')
    .description('The audit record: what was asked, run and decided on this server');
  const file = ['--file <path>', 'the record (default: AGENT3_AUDIT_FILE, or that of the installed service)'] as const;
  audit
    .command('verify')
    .description(
      'Look for every line that was changed, taken out, added or put elsewhere; ends with 1 when there is one',
    )
    .option('--kept <count>', 'how many older files logrotate keeps', asCount, 90)
    .option('--require-key', 'end with 2 without the key that checks the seals, and with 1 where no line is sealed')
    .option(...file)
    .addHelpText('after', KEY_HELP)
    .action(async (options) => (await import('./audit-action.ts')).verifyAudit(options));
  const filtered = (command: Command): Command =>
    command
      .option('--token <name>', 'only of this token')
      .option('--session <id>', 'only of this session; its beginning is enough')
      .addOption(new Option('--event <name>', 'only lines of this kind').choices(EVENTS))
      .option('--since <time>', 'only from then on: 2h, 3d, or 2026-11-24T08:00:00Z', asMoment)
      .option('--until <time>', 'only before then', asMoment)
      .option('--json', 'the lines as they are; without a terminal they always are')
      .option(...file);
  filtered(
    audit
      .command('tail')
      .description('The last lines of the record')
      .option('-n, --lines <count>', 'how many', asCount, 20)
      .option('-f, --follow', 'and those that come, until Ctrl-C'),
  ).action(async (options) => (await import('./audit-action.ts')).tailAudit(options));
  filtered(
    audit
      .command('grep [pattern]')
      .description('The lines that match a regular expression, and the filters')
      .addHelpText(
        'after',
        '\nExit code: 0 a line matches, 1 none does, 2 wrong usage or a record that cannot be read.',
      ),
  ).action(async (pattern: string | undefined, options) =>
    (await import('./audit-action.ts')).grepAudit(pattern, options),
  );
}

const KEY_HELP = `
The key is AGENT3_AUDIT_KEY or, for root, that of the installed service. Without it, the lines at the end may be forged.
Exit code: 0 whole, 1 something is wrong, 2 wrong usage, or no key with --require-key.`;

function asMoment(text: string): number {
  const ago = parseDuration(text);
  if (ago !== undefined) return Date.now() - ago;
  const moment = Date.parse(text);
  if (Number.isNaN(moment)) throw new InvalidArgumentError('It is no time: 2h, 3d, or 2026-11-24T08:00:00Z.');
  return moment;
}

function asCount(text: string): number {
  if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError('It is no number.');
  return Number(text);
}
