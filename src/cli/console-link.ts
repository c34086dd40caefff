import { renderUnicodeCompact } from 'uqr';
import { Link, type Linked, LinkOver, SESSION_MS, withLinked } from '../console/link.ts';
import { consoleTunnel } from '../install/console-settings.ts';
import { readManifest } from '../install/installed.ts';
import { hasConsole } from '../install/inventory.ts';
import { PATHS } from '../install/layout.ts';
import { delay } from '../lib/clock.ts';
import { describeErrno, errnoOf } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import { Answers } from './connect-wait.ts';
import { type ConsoleHere, consoleHere, pinHere, pinnedHere, requireOwner } from './console-here.ts';
import { formatMinute } from './console-passkeys.ts';
import { EXIT_FAILURE, EXIT_USAGE, fail } from './exit.ts';

const LOOK_MS = 200;
/** Who is about to press a key when the phone has answered has not read the question. */
const TYPED_AHEAD_MS = 300;

/** Shows a link, waits for the phone, and pins what the owner says yes to. */
export async function linkConsole({ name }: { readonly name?: string | undefined }): Promise<void> {
  requireOwner('link');
  const here = consoleHere();
  const { origin } = here;
  if (here.isInstalled && !hasConsole(readManifest(PATHS.manifest) ?? {}))
    fail(EXIT_FAILURE, 'the installation has no console. To add it: sudo agent3 install --console');
  if (origin === undefined)
    fail(
      EXIT_USAGE,
      'AGENT3_CONSOLE_ORIGIN is not set: it is the URL of the console. Set it up with: sudo agent3 install --domain NAME. Without a domain: sudo agent3 install --console, which takes http://localhost:8443, through ssh -L',
    );
  if (name !== undefined && (name === '' || name.length > 100))
    fail(EXIT_USAGE, '--name has to have 1 to 100 characters');
  // Read from now on: a line that waits until the question is there would answer it.
  const typed = new Answers();
  await confirmMove(here, origin, typed);
  const link = openLink(here, origin, name);
  const stop = (): never => {
    link.end();
    process.exit(EXIT_FAILURE);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      // A terminal has written ^C at the end of the line.
      process.stdout.write('\n');
      stop();
    });
  process.stdout.on('error', stop);
  process.stdout.write(describeLink(here, link.url));
  try {
    const linked = await arrival(link);
    const named = name === undefined ? linked : { ...linked, name };
    if (await isWanted(link, named, typed)) {
      pinHere(here, withLinked(pinnedHere(here), named, origin, Date.now()));
      link.say({ state: 'pinned' });
      const done = named.kind === 'passkey' ? 'pinned' : 'allowed';
      const until = named.kind === 'passkey' ? '' : ` until ${formatMinute(Date.now() + SESSION_MS)}`;
      process.stdout.write(
        `${done} ${visibleLine(named.name)}${until}; to end it: sudo agent3 console remove ${quoted(named.name)}\n`,
      );
    } else {
      link.say({ state: 'refused', why: 'The owner said no' });
      process.stdout.write(linked.kind === 'passkey' ? 'not pinned\n' : 'not allowed\n');
      process.exitCode = EXIT_FAILURE;
    }
  } catch (error) {
    if (!(error instanceof LinkOver)) throw error;
    process.stdout.write(`\nThe link is over: ${error.message}. For a new one, run agent3 console link again.\n`);
    process.exitCode = EXIT_FAILURE;
  }
  link.end();
  process.exit();
}

/** A phone does not reach what only this machine does: then there is no QR code, but the way there. */
function describeLink({ isInstalled }: ConsoleHere, url: string): string {
  const tunnel = consoleTunnel(url);
  const wait = 'within ten minutes, and make a passkey. This waits for it; Ctrl-C ends it.\n';
  if (tunnel === undefined) return `${codeOf(url)}\n\n${url}\n\nOpen it on the phone or in a browser, ${wait}`;
  if (!isInstalled) return `${url}\n\nOpen it in a browser on this machine, ${wait}`;
  return `First, on your computer: ${tunnel}\n\n${url}\n\nThen open it there in a browser, ${wait}`;
}

/** The QR code of a link, light on dark whatever colours the terminal has: cameras read it so. */
function codeOf(url: string): string {
  const code = renderUnicodeCompact(url, { border: 2 });
  if (process.stdout.isTTY !== true) return code;
  return code.replace(/^.*$/gm, '\x1b[97;40m$&\x1b[0m');
}

function openLink(here: ConsoleHere, origin: string, name: string | undefined): Link {
  try {
    const reportWrong = (wrong: number, most: number): boolean =>
      process.stdout.write(`an answer does not fit this link: ${wrong} of ${most}\n`);
    return new Link(here, origin, reportWrong, name);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    fail(EXIT_FAILURE, `${here.answers} cannot be written: ${describeErrno(error)}`);
  }
}

/** Passkeys belong to an origin: with another one, those that are there count no more. */
async function confirmMove(here: ConsoleHere, origin: string, typed: Answers): Promise<void> {
  const pinned = pinnedHere(here);
  const count = pinned?.passkeys.length ?? 0;
  if (pinned === undefined || pinned.origin === origin || count === 0) return;
  const many = count === 1 ? 'the passkey' : `all ${count} passkeys`;
  const question = `The console has moved from ${pinned.origin} to ${origin}. A new passkey there removes ${many} of before. Continue?`;
  if (!(await ask(question, typed, () => {}))) fail(EXIT_FAILURE, 'nothing was changed');
}

async function arrival(link: Link): Promise<Linked> {
  for (;;) {
    const linked = await link.look();
    if (linked !== undefined) return linked;
    await delay(LOOK_MS);
  }
}

function isWanted(link: Link, linked: Linked, typed: Answers): Promise<boolean> {
  const name = describeName(linked.name);
  const question =
    linked.kind === 'passkey'
      ? `\nThe device ${name} has made a passkey. Its fingerprint, which the device has to show too:\n\n  ${linked.passkey.fingerprint}\n\nIt may approve, thaw and do all else that the console can. Pin it?`
      : `\nThe device ${name} asks for a session without a passkey.\nFor 12 hours it may look, deny, stop and freeze. Allow it?`;
  return ask(question, typed, () => {
    if (Date.now() > link.until) throw new LinkOver('nobody has answered within ten minutes');
  });
}

/** Whether the owner types yes. On a terminal, what was typed before the question is no answer. */
async function ask(question: string, typed: Answers, requireOpen: () => void): Promise<boolean> {
  if (process.stdin.isTTY === true) {
    await delay(TYPED_AHEAD_MS);
    typed.forget();
  }
  process.stdout.write(`${question} [y/N] `);
  for (;;) {
    requireOpen();
    const answer = typed.take();
    if (answer !== undefined) return /^\s*y(?:es)?\s*$/i.test(answer);
    await delay(LOOK_MS);
  }
}

const MOST_SHOWN_CHARS = 60;

/** A name from the other end of the link, in quotes that it cannot close: it looks like nothing of the terminal's own. */
export function describeName(name: string): string {
  const shown = visibleLine(name.replaceAll(/["“”„‟″＂]/g, "'"));
  return `"${shown.length > MOST_SHOWN_CHARS ? `${shown.slice(0, MOST_SHOWN_CHARS).toWellFormed()} …` : shown}"`;
}

function quoted(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : `'${visibleLine(name).replaceAll("'", String.raw`'\''`)}'`;
}
