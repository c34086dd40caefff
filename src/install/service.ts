import { readlinkSync } from 'node:fs';
import { delay } from '../lib/clock.ts';
import { runCommand } from './command.ts';
import { SERVICE } from './layout.ts';

/** What systemd says of the service. */
export interface ServiceState {
  readonly active: boolean;
  readonly enabled: boolean;
  /** Commands, and processes they left, that it looks after; from its own status. */
  readonly commands: number;
  /** How many of them a restart would end. */
  readonly waitedFor: number;
}

/** What the agent tells systemd of its commands: `3 commands run, 2 of them through a restart`. */
export function parseStatus(text: string): { readonly commands: number; readonly outliving: number } {
  const [, commands, outliving] = /^(\d+) commands? runs?(?:, (\d+) of)?/.exec(text) ?? [];
  return { commands: Number(commands ?? 0), outliving: Number(outliving ?? 0) };
}

/** Asks systemd for the state of the service. */
export function serviceState(): ServiceState {
  const { stdout } = runCommand(['systemctl', 'show', '-p', 'ActiveState,UnitFileState,StatusText', SERVICE]);
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  const { commands, outliving } = parseStatus(value('StatusText'));
  return {
    active: value('ActiveState') === 'active',
    enabled: value('UnitFileState') === 'enabled',
    commands,
    waitedFor: commands - outliving,
  };
}

/** Whether the agent that runs was started from an executable that has been replaced since, say by a package. */
export function runsOldExecutable(): boolean {
  const pid = runCommand(['systemctl', 'show', '-p', 'MainPID', '--value', SERVICE]).stdout.trim();
  try {
    return readlinkSync(`/proc/${pid}/exe`).endsWith(' (deleted)');
  } catch {
    // It does not run.
    return false;
  }
}

/** The address that reaches an agent which listens on `host`. */
export function healthUrl(host: string, port: number, tls: boolean): string {
  const name = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
  return `${tls ? 'https' : 'http'}://${name}:${port}/healthz`;
}

const ANSWER_SECONDS = 5;
const LOOK_MS = 250;
const COMMANDS_LOOK_MS = 1000;

/** The version of the agent that answers on `url`, or undefined when none does. */
export async function versionOn(url: string): Promise<string | undefined> {
  try {
    // On loopback, and only to see that it lives: the name in its certificate is another one.
    const init = { signal: AbortSignal.timeout(ANSWER_SECONDS * 1000), tls: { rejectUnauthorized: false } };
    const answer = await fetch(url, init);
    const body = (await answer.json()) as { version?: unknown };
    return answer.ok && typeof body.version === 'string' ? body.version : undefined;
  } catch {
    // Not there, not yet there, or somebody else.
    return undefined;
  }
}

/** Waits until an agent answers on `url`; gives its version, or undefined when `seconds` have passed. */
export async function waitForHealth(url: string, seconds: number): Promise<string | undefined> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const found = await versionOn(url);
    if (found !== undefined || performance.now() > end) return found;
    await delay(LOOK_MS);
  }
}

/** Waits until no command runs that a restart would end, at most `seconds`; gives how many still do. */
export async function waitForCommands(seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const { waitedFor } = serviceState();
    if (waitedFor === 0 || performance.now() > end) return waitedFor;
    await delay(COMMANDS_LOOK_MS);
  }
}

/** Why the service does not run: its last words in the journal, when it failed, and systemd's own. */
export function whyNot(): string {
  const shown = runCommand(['systemctl', 'show', '-p', 'ActiveState,SubState,Result,ExecMainStatus', SERVICE]).stdout;
  const { stdout: id } = runCommand(['systemctl', 'show', '-p', 'InvocationID', '--value', SERVICE]);
  runCommand(['journalctl', '--sync']);
  // Of its last start alone, and what its own processes said.
  const said = runCommand(['journalctl', '--quiet', '-o', 'cat', '-n', '10', `_SYSTEMD_INVOCATION_ID=${id.trim()}`]);
  const own = lastWords(/^Result=(.*)$/m.exec(shown)?.[1] ?? '', said.stdout);
  return [shown.trim().replaceAll('\n', ' '), ...own].filter((text) => text !== '').join('\n');
}

const LAST_LINES = 3;

/** The last lines of what a service said, each once; none where it was stopped, which takes no reason. */
export function lastWords(result: string, text: string): string[] {
  if (result === 'success') return [];
  const lines = text.split('\n').filter((line) => line !== '');
  return [...new Set(lines.slice(-LAST_LINES))];
}
