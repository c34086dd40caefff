import { foldNames } from '../lib/fold-names.ts';
import {
  describeSize,
  hasRightToLeft,
  likeSigns,
  mixedWords,
  USUAL_COLUMNS,
  visibleBlock,
  visibleField,
  visibleLine,
} from '../lib/visible.ts';
import { type ApprovalRequest, digestOf } from './approval-request.ts';

const SHOWN_INPUT_CHARS = 2000;

/**
 * Describes everything that would run, for the person who decides. Fields have a line each. Texts of the client are blocks
 * with their size, and a bar before every line, so that no line can look like a field.
 */
export function describeRequest(request: ApprovalRequest, columns = columnsHere()): string {
  const { session, token, address, profile, user, cmd, cwd, env, stdin, input, limit_seconds, reason, part } = request;
  const { server } = request;
  const { context, file, dialog = [] } = request;
  const layout = { columns };
  const field = (text: string): string => visibleField(text, layout);
  const block = (title: string, text: string): string => `  ${title}\n${visibleBlock(text, layout)}`;
  const about = part === '' || part === cmd.trim() ? '' : ` (${part})`;
  const seconds = Math.max(0, Math.round((request.expires_at - Date.now()) / 1000));
  const whole = [
    cmd,
    cwd,
    ...Object.entries(env).flat(),
    context?.brings ?? '',
    file?.diff ?? '',
    ...dialog.map(({ send }) => send),
  ].join('\n');
  const [mixed, signs] = [mixedWords(whole), likeSigns(whole)];
  const shownInput = stdin.slice(0, SHOWN_INPUT_CHARS);
  const more = stdin.length - shownInput.length;
  return [
    `${visibleLine(session)}  ${seconds} s left\n`,
    ...(server === undefined ? [] : [field(`on the server ${server}, through its hub`)]),
    field(`token ${token} (${profile}) from ${address}, as ${user} in ${cwd}, for up to ${limit_seconds} s`),
    ...planLines(request.plan, field),
    field(`asked because ${reason}${about}`),
    `  digest ${digestOf(request)}\n`,
    block(`${file === undefined ? 'command' : 'change of a file'}, ${describeSize(cmd)}:`, cmd),
    ...Object.entries(env).map(([name, value]) => block('with the variable', `${name}=${value}`)),
    ...contextLines(context, field, block),
    ...fileLines(file, field, block),
    ...(stdin === '' ? [] : [block(`reads ${describeSize(stdin)}:`, shownInput)]),
    ...(more > 0 ? [field(`and ${more} characters more. To see them: agent3 approval show --json`)] : []),
    ...dialog.flatMap(({ expect, send }, index) => [
      field(`step ${index + 1} of ${dialog.length}: when it writes ${expect}`),
      block(`types ${describeSize(send)}:`, send),
    ]),
    ...(input === 'closed' ? [] : [field('and anything that is typed into it later, without another question')]),
    ...(mixed.length === 0
      ? []
      : [field(`note: letters of several scripts, which can look the same: ${mixed.join(', ')}`)]),
    ...(signs.length === 0 ? [] : [field(`note: characters that look like those of a shell: ${signs.join(', ')}`)]),
    ...(hasRightToLeft(`${whole}\n${stdin}`)
      ? [field('note: right-to-left letters; some terminals change the order of the words')]
      : []),
  ].join('');
}

const SHOWN_NAMES = 20;

/** The other servers of its `run_on`. */
function planLines(plan: ApprovalRequest['plan'], field: (text: string) => string): string[] {
  if (plan === undefined) return [];
  const names = foldNames(plan.servers.map(({ name }) => name));
  const more = names.length - SHOWN_NAMES;
  const shown = `${names.slice(0, SHOWN_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return [field(`part of a run on ${plan.servers.length} servers (${shown}); your decision here is for this one`)];
}

/** Describes what the shell runs before the command. */
function contextLines(
  context: ApprovalRequest['context'],
  field: (text: string) => string,
  block: (title: string, text: string) => string,
): string[] {
  if (context === undefined) return [];
  const { name, brings } = context;
  if (brings === '') return [field(`in the context ${name}, which is empty`)];
  return [block(`in the context ${name}, whose shell runs this first, ${describeSize(brings)}:`, brings)];
}

const SHOWN_DIFF_CHARS = 20_000;

/** Describes the change of a file. */
function fileLines(
  file: ApprovalRequest['file'],
  field: (text: string) => string,
  block: (title: string, text: string) => string,
): string[] {
  if (file === undefined) return [];
  const { path, mode, owner, before_sha256: before, after_sha256: after, diff } = file;
  const shown = diff.slice(0, SHOWN_DIFF_CHARS);
  const more = diff.length - shown.length;
  return [
    block('of the file', path),
    field(`mode ${mode}`),
    ...(owner === '' ? [] : [field(`owner ${owner} (user:group)`)]),
    field(`before: ${before === '' ? 'no file' : `sha256 ${before}`}`),
    field(`after: ${after === '' ? 'no file' : `sha256 ${after}`}`),
    ...(diff === '' ? [field('its content stays as it is')] : [block(`difference, ${describeSize(diff)}:`, shown)]),
    ...(more > 0 ? [field(`and ${more} characters more. To see them: agent3 approval show --json`)] : []),
  ];
}

/** Returns the question about a request that was `shown`, with its size, because it may have left the screen. */
export function questionOn(
  { cmd, env, stdin, context, file }: ApprovalRequest,
  shown: string,
  rows = process.stdout.rows ?? 0,
): string {
  const variables = Object.keys(env).length;
  const size = [
    describeSize(cmd),
    ...(variables === 0 ? [] : [`${variables} ${variables === 1 ? 'variable' : 'variables'}`]),
    ...(context === undefined || context.brings === '' ? [] : [`a context of ${describeSize(context.brings)}`]),
    ...(stdin === '' ? [] : [`input of ${describeSize(stdin)}`]),
    ...(file === undefined ? [] : [`a difference of ${describeSize(file.diff)}`]),
  ].join('; ');
  const lines = shown.split('\n').length;
  const scroll =
    rows > 0 && lines > rows ? ` The ${lines} lines above are more than this terminal shows: scroll up.` : '';
  return `${file === undefined ? 'Run this command' : 'Change this file'} (${size})?${scroll} [y/N]`;
}

function columnsHere(): number {
  return process.stdout.columns ?? USUAL_COLUMNS;
}
