import { existsSync, writeFileSync } from 'node:fs';
import { askHealth } from '../../ops/watchdog/check.ts';
import { runCommand } from '../../ops/watchdog/command.ts';
import { unitProperties } from '../../ops/watchdog/service.ts';
import { distrust } from '../access/approval-request.ts';
import {
  currentFreeze,
  type FreezeEntry,
  freezeFile,
  MAX_REASON_CHARS,
  readFreezes,
  writeFreezes,
} from '../access/freeze.ts';
import { waitFor } from '../lib/clock.ts';
import { describeErrno } from '../lib/errors.ts';
import { visibleLine } from '../lib/visible.ts';
import { hasSystemd } from '../linux/systemd.ts';
import { COMMANDS, PATHS, SLICE } from './layout.ts';
import { InstallFault, readText } from './machine.ts';

/** Time for a busy agent to notice the file, in which a hanging agent does not delay the freeze. */
const SEEN_SECONDS = 1;
const LOOK_MS = 20;
/** systemd answers when every process is frozen, which takes a while for a fork bomb. */
const SYSTEMD_SECONDS = 30;

const FREEZER = `/sys/fs/cgroup/${SLICE}/${COMMANDS}/cgroup.freeze`;

/** The result of a freeze or a thaw. */
export interface FreezeResult {
  readonly freeze: FreezeEntry;
  /** The server was already frozen. */
  readonly wasBefore: boolean;
  /** Why systemd did not freeze the commands, so that the agent stops them by signals; undefined when it did. */
  readonly withoutSystemd?: string;
  /** Why the file could not be written: the agent does not know of the freeze, and only systemd freezes the commands. */
  readonly unwritten?: string;
}

/** Makes systemd freeze every command. Returns why it did not. */
type Hold = () => string | undefined;

/** Who decides, and the directory of decisions. */
export interface FreezeTarget {
  /** The directory of decisions, which only root may write to. */
  readonly decisions: string;
  readonly by: string;
  /** URL of the agent; undefined to not wait until it has noticed the file. */
  readonly origin: string | undefined;
}

/**
 * Freezes the server, as root: from the moment the file exists, nothing starts; then systemd freezes what runs, even when
 * a full disk has no room for the file. Throws `InstallFault` for a directory that others may write to, and when neither
 * the file nor systemd works. `hold` is undefined without systemd.
 */
export async function freezeServer(
  target: FreezeTarget,
  reason: string,
  hold: Hold | undefined = holdOf(target),
): Promise<FreezeResult> {
  const { decisions, by } = target;
  const freezes = requireTrusted(decisions);
  const before = currentFreeze(freezes);
  const text = visibleLine(reason).slice(0, MAX_REASON_CHARS).toWellFormed();
  const begun = before === undefined ? { since: Date.now(), by, reason: text } : { ...before, again: Date.now() };
  const others = before === undefined ? freezes : freezes.slice(0, -1);
  const write = (freeze: FreezeEntry): string | undefined => {
    try {
      writeFreezes(decisions, [...others, freeze]);
      return undefined;
    } catch (error) {
      return `${freezeFile(decisions)} cannot be written: ${describeErrno(error)}`;
    }
  };
  const wasBefore = before !== undefined;
  const unwritten = hold === undefined ? undefined : write(begun);
  // Afterwards no command is starting, which would block the agent in a frozen cgroup.
  if (hold !== undefined && unwritten === undefined) await hasSeen(target);
  const withoutSystemd = hold === undefined ? 'the agent is not a systemd service here' : hold();
  if (withoutSystemd === undefined) return { freeze: begun, wasBefore, ...(unwritten !== undefined && { unwritten }) };
  const freeze: FreezeEntry = { ...begun, signals: true };
  const fault = write(freeze);
  if (fault !== undefined)
    throw new InstallFault(`${fault}; ${withoutSystemd}. The commands still run: make room on the disk first`);
  return { freeze, wasBefore, withoutSystemd };
}

function holdOf({ decisions }: FreezeTarget): Hold | undefined {
  if (decisions !== PATHS.approvals || !hasSystemd()) return undefined;
  return () => {
    // Directly, because systemctl takes a while to start and to wait. systemd notices it too.
    setFreezer('1');
    const { code, stderr } = runCommand(['systemctl', 'freeze', COMMANDS], SYSTEMD_SECONDS);
    // On an overloaded machine, systemctl gives up, but the kernel does not.
    return code === 0 || isFreezerOn() ? undefined : `systemctl freeze failed: ${visibleLine(stderr).slice(0, 300)}`;
  };
}

/** Describes the effect when the file could not be written; undefined when it was. */
export function describeUnwritten({ unwritten, wasBefore }: FreezeResult): string | undefined {
  if (unwritten === undefined) return undefined;
  if (wasBefore) return `the server is already frozen, but ${unwritten}: a thaw that was signed earlier is still valid`;
  return `systemd has frozen what runs, but ${unwritten}. So the agent refuses no calls, and may stop answering at its next command, which freezes too. A restart of the machine ends this freeze. Make room on the disk, then run: sudo agent3 freeze`;
}

/** Thaws the server, as root; `signed` is the signed order. Returns undefined when it was not frozen. Throws like `freezeServer`, and when systemd does not thaw. */
export function thawServer({ decisions, by }: FreezeTarget, signed?: object): FreezeEntry | undefined {
  const freezes = requireTrusted(decisions);
  const current = currentFreeze(freezes);
  if (decisions === PATHS.approvals && hasSystemd() && isHeld()) {
    const { code, stderr } = runCommand(['systemctl', 'thaw', COMMANDS], SYSTEMD_SECONDS);
    if (code !== 0)
      throw new InstallFault(
        `systemctl thaw ${COMMANDS} failed, so the server stays frozen: ${visibleLine(stderr).slice(0, 300)}`,
      );
    setFreezer('0');
  }
  if (current === undefined) return undefined;
  const thaw = { until: Date.now(), thawed_by: by, ...(signed !== undefined && { thaw_signed: signed }) };
  writeFreezes(decisions, [...freezes.slice(0, -1), { ...current, ...thaw }]);
  return current;
}

/** Returns true while the commands are frozen. A boot ends that. */
function isHeld(): boolean {
  const { FreezerState: state } = unitProperties(COMMANDS, 'FreezerState');
  return (state !== '' && state !== 'running') || isFreezerOn();
}

function isFreezerOn(): boolean {
  return readText(FREEZER)?.trim() === '1';
}

/** Freezes or thaws the cgroup of the commands directly, if it exists. */
function setFreezer(value: '0' | '1'): void {
  try {
    if (existsSync(FREEZER)) writeFileSync(FREEZER, value);
  } catch {
    // The result of systemctl counts.
  }
}

function requireTrusted(decisions: string): readonly FreezeEntry[] {
  const fault = distrust(decisions);
  if (fault === undefined) return readFreezes(decisions);
  throw new InstallFault(`${fault}. It must be a directory that only root may write to`);
}

async function hasSeen({ origin }: FreezeTarget): Promise<void> {
  if (origin === undefined) return;
  const look = async (): Promise<true | undefined> => {
    const health = await askHealth(origin, {}, SEEN_SECONDS);
    // An agent that does not answer starts nothing.
    return ('fault' in health ? health.isGone : health.isFrozen) || undefined;
  };
  await waitFor(look, SEEN_SECONDS, LOOK_MS);
}
