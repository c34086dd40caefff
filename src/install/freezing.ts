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

/** The agent sees the file at once; one that is busy gets a moment, and one that hangs holds nothing up. */
const SEEN_SECONDS = 1;
const LOOK_MS = 20;
/** systemd answers when every process is stopped; with a fork bomb that takes a while. */
const SYSTEMD_SECONDS = 30;

const FREEZER = `/sys/fs/cgroup/${SLICE}/${COMMANDS}/cgroup.freeze`;

/** How a freeze or a thaw went. */
export interface FreezeResult {
  readonly freeze: FreezeEntry;
  /** It was so before. */
  readonly wasBefore: boolean;
  /** Why systemd does not hold the commands, so that the agent stops them by signals; undefined where it does. */
  readonly withoutSystemd?: string;
  /** Why the file could not be written, so that the agent does not know of it: systemd alone holds the commands. */
  readonly unwritten?: string;
}

/** Makes systemd stop every command; returns why it did not. */
type Hold = () => string | undefined;

/** Who decides, and where decisions are left. */
export interface FreezeTarget {
  /** The directory of decisions, which only root writes to. */
  readonly decisions: string;
  readonly by: string;
  /** Where the agent listens; undefined: nobody waits until it has seen the file. */
  readonly origin: string | undefined;
}

/**
 * Freezes the server: nothing begins from the moment when the file is there, then systemd stops what runs. It does so also
 * where a full disk has no room for the file. Run by root. Throws `InstallFault` for a directory that others may write to,
 * and where neither the file nor systemd holds anything. `hold` is undefined where systemd has no part in it.
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
  // A start that was under way is over then: in a frozen cgroup it would hold the agent up.
  if (hold !== undefined && unwritten === undefined) await hasSeen(target);
  const withoutSystemd = hold === undefined ? 'the agent is no service of systemd here' : hold();
  if (withoutSystemd === undefined) return { freeze: begun, wasBefore, ...(unwritten !== undefined && { unwritten }) };
  const freeze: FreezeEntry = { ...begun, signals: true };
  const fault = write(freeze);
  if (fault !== undefined)
    throw new InstallFault(`${fault}; ${withoutSystemd}. The commands are not held: make room first`);
  return { freeze, wasBefore, withoutSystemd };
}

function holdOf({ decisions }: FreezeTarget): Hold | undefined {
  if (decisions !== PATHS.approvals || !hasSystemd()) return undefined;
  return () => {
    // At once: systemctl takes a while to start, and longer to wait until every process is stopped. systemd sees it
    // too.
    setFreezer('1');
    const { code, stderr } = runCommand(['systemctl', 'freeze', COMMANDS], SYSTEMD_SECONDS);
    // On a machine that hardly moves, systemctl gives up; the kernel does not.
    return code === 0 || isFreezerOn() ? undefined : `systemctl freeze failed: ${visibleLine(stderr).slice(0, 300)}`;
  };
}

/** What to know where the file could not be written; undefined where it was. */
export function describeUnwritten({ unwritten, wasBefore }: FreezeResult): string | undefined {
  if (unwritten === undefined) return undefined;
  if (wasBefore) return `the server is frozen already, but ${unwritten}: a thaw that was signed before counts`;
  return `systemd holds what runs, but ${unwritten}. So the agent refuses nothing, and may not answer from its next command on, which is stopped too. A restart of the machine ends this freeze. Make room, then run: sudo agent3 freeze`;
}

/**
 * Continues everything; `signed` proves whose order it was. Run by root. Throws as `freezeServer`, and if systemd does
 * not thaw; undefined if nothing was frozen.
 */
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

/** Whether the commands are held. After a boot, they are not any more. */
function isHeld(): boolean {
  const { FreezerState: state } = unitProperties(COMMANDS, 'FreezerState');
  return (state !== '' && state !== 'running') || isFreezerOn();
}

function isFreezerOn(): boolean {
  return readText(FREEZER)?.trim() === '1';
}

/** Freezes or thaws the cgroup of the commands itself; does nothing without one. */
function setFreezer(value: '0' | '1'): void {
  try {
    if (existsSync(FREEZER)) writeFileSync(FREEZER, value);
  } catch {
    // What systemctl says counts.
  }
}

function requireTrusted(decisions: string): readonly FreezeEntry[] {
  const fault = distrust(decisions);
  if (fault === undefined) return readFreezes(decisions);
  throw new InstallFault(`${fault}; it must be a directory of root that nobody else may write to`);
}

async function hasSeen({ origin }: FreezeTarget): Promise<void> {
  if (origin === undefined) return;
  const look = async (): Promise<true | undefined> => {
    const health = await askHealth(origin, {}, SEEN_SECONDS);
    // Where none answers, none starts anything.
    return ('fault' in health ? health.isGone : health.isFrozen) || undefined;
  };
  await waitFor(look, SEEN_SECONDS, LOOK_MS);
}
