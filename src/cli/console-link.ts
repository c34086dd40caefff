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
/** Time in which keys are dropped: a key pressed as the phone answers is no answer to the question. */
const TYPED_AHEAD_MS = 300;

/** Shows a link, waits for the phone, and pins its passkey when the owner agrees. */
export async function linkConsole({ name }: { readonly name?: string | undefined }): Promise<void> {
  requireOwner('link');
  const here = consoleHere();
  const { origin } = here;
  if (here.isInstalled && !hasConsole(readManifest(PATHS.manifest) ?? {}))
    fail(EXIT_FAILURE, 'the console is not installed. To add it: sudo agent3 install --console');
  if (origin === undefined)
    fail(
      EXIT_USAGE,
      'AGENT3_CONSOLE_ORIGIN, the URL of the console, is not set: sudo agent3 install --domain NAME. Without a domain: sudo agent3 install --console, for http://localhost:8443 through ssh -L',
    );
  if (/^http:\/\/(?!localhost\b|127\.|\[::1\])/.test(origin))
    fail(
      EXIT_USAGE,
      `no browser makes a passkey at ${origin}: set AGENT3_CONSOLE_ORIGIN to an https URL, or to http://localhost:PORT`,
    );
  if (name !== undefined && (name === '' || name.length > 100))
    fail(EXIT_USAGE, '--name must have 1 to 100 characters');
  // Read from now on, so that a line typed before the question does not answer it.
  const typed = new Answers();
  await confirmMove(here, origin, typed);
  const link = openLink(here, origin, name);
  const stop = (): never => {
    link.end();
    process.exit(EXIT_FAILURE);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      // The terminal has printed ^C on this line.
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
        `${done} ${visibleLine(named.name)}${until}. To remove it: sudo agent3 console remove ${quoted(named.name)}\n`,
      );
      if (named.kind === 'passkey') (await import('./fleet-keys.ts')).noteServers(here);
    } else {
      link.say({ state: 'refused', why: 'The owner said no' });
      process.stdout.write(linked.kind === 'passkey' ? 'not pinned\n' : 'not allowed\n');
      process.exitCode = EXIT_FAILURE;
    }
  } catch (error) {
    if (!(error instanceof LinkOver)) throw error;
    process.stdout.write(`\nThe link has ended: ${error.message}. For a new link: sudo agent3 console link\n`);
    process.exitCode = EXIT_FAILURE;
  }
  link.end();
  process.exit();
}

/** Describes how to open the link. A phone cannot reach localhost, so then there is no QR code but an ssh tunnel. */
function describeLink({ isInstalled }: ConsoleHere, url: string): string {
  const tunnel = consoleTunnel(url);
  const wait = 'within 10 minutes, and make a passkey. This command waits for it; Ctrl-C cancels.\n';
  if (tunnel === undefined) return `${codeOf(url)}\n\n${url}\n\nOpen it on the phone or in a browser, ${wait}`;
  if (!isInstalled) return `${url}\n\nOpen it in a browser on this machine, ${wait}`;
  return `First, on your computer: ${tunnel}\n\n${url}\n\nThen open it there in a browser, ${wait}`;
}

/** Returns the QR code of a link, light on dark in any terminal, so that cameras can read it. */
function codeOf(url: string): string {
  const code = renderUnicodeCompact(url, { border: 2 });
  if (process.stdout.isTTY !== true) return code;
  return code.replace(/^.*$/gm, '\x1b[97;40m$&\x1b[0m');
}

function openLink(here: ConsoleHere, origin: string, name: string | undefined): Link {
  try {
    const reportWrong = (wrong: number, most: number): boolean =>
      process.stdout.write(`a wrong answer to this link came (${wrong} of ${most})\n`);
    return new Link(here, origin, reportWrong, name);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    fail(EXIT_FAILURE, `${here.answers} cannot be written: ${describeErrno(error)}`);
  }
}

/** Asks before a new origin makes the passkeys of the old origin invalid. */
async function confirmMove(here: ConsoleHere, origin: string, typed: Answers): Promise<void> {
  const pinned = pinnedHere(here);
  const count = pinned?.passkeys.length ?? 0;
  if (pinned === undefined || pinned.origin === origin || count === 0) return;
  const many = count === 1 ? 'the old passkey' : `all ${count} old passkeys`;
  const question = `The console has moved from ${pinned.origin} to ${origin}. A new passkey there removes ${many}. Continue?`;
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
      ? `\nThe device ${name} has made a passkey. Its fingerprint, which the device must show too:\n\n  ${linked.passkey.fingerprint}\n\nIt may do everything that the console can, such as approve and thaw. Pin it?`
      : `\nThe device ${name} asks for a session without a passkey.\nFor 12 hours it may look, deny, stop and freeze. Allow it?`;
  return ask(question, typed, () => {
    if (Date.now() > link.until) throw new LinkOver('nobody answered within 10 minutes');
  });
}

/** Returns true when the owner types yes. On a terminal, keys typed before the question are dropped. */
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

/** Quotes a name from the other end of the link, so that it cannot look like output of this program. */
export function describeName(name: string): string {
  const shown = visibleLine(name.replaceAll(/["“”„‟″＂]/g, "'"));
  return `"${shown.length > MOST_SHOWN_CHARS ? `${shown.slice(0, MOST_SHOWN_CHARS).toWellFormed()} …` : shown}"`;
}

function quoted(name: string): string {
  return /^[\w.-]+$/.test(name) ? name : `'${visibleLine(name).replaceAll("'", String.raw`'\''`)}'`;
}
