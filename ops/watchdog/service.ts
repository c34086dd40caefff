import { type CommandResult, runCommand } from './command.ts';

/** What systemd says of the unit of the agent. */
export interface ServiceState {
  /** systemd's word: `active`, `reloading`, `inactive`, `failed` …; `unknown` where it cannot be asked. */
  readonly state: string;
  /** It runs, also while it opens its logs again. */
  readonly isActive: boolean;
  readonly isEnabled: boolean;
  /** Its owner has switched it off for good: it is not to be started again. */
  readonly isSwitchedOff: boolean;
  /** Its process; 0 where none runs. */
  readonly pid: number;
  /** What the agent has told systemd of its commands. */
  readonly statusText: string;
}

/** Asks systemd for the state of `unit`. */
export function readService(unit: string): ServiceState {
  const value = unitProperties(unit, 'ActiveState', 'UnitFileState', 'MainPID', 'StatusText');
  const [state = 'unknown', file] = [value.ActiveState || undefined, value.UnitFileState];
  return {
    state,
    isActive: state === 'active' || state === 'reloading',
    isEnabled: file === 'enabled',
    isSwitchedOff: state === 'inactive' && (file === 'disabled' || file === 'masked'),
    pid: Number(value.MainPID),
    statusText: value.StatusText,
  };
}

/** Properties of a unit as systemd has them (systemctl(1), show), in the order of `names`; empty where it cannot be asked. */
export function unitProperties<N extends string>(unit: string, ...names: readonly N[]): Record<N, string> {
  const { stdout } = systemctl(['show', '-p', names.join(','), unit], ASK_SECONDS);
  const value = (name: N): string => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  return Object.fromEntries(names.map((name) => [name, value(name)])) as Record<N, string>;
}

const ASK_SECONDS = 5;
const RESTART_SECONDS = 90;

/** Restarts the unit; systemd waits until it says that it is ready. Gives what systemd said against it, if anything. */
export function restart(unit: string): string | undefined {
  return faultOf('restart', systemctl(['restart', unit], RESTART_SECONDS));
}

/** Starts a unit, and does not wait for it. Gives what systemd said against it, if anything. */
export function startUnit(unit: string): string | undefined {
  return faultOf(`start ${unit}`, systemctl(['--no-block', 'start', unit], ASK_SECONDS));
}

/** Stops every command of the agent: they run in a unit of their own, which a restart of the agent leaves alone. */
export function stopCommands(unit: string): void {
  systemctl(['try-restart', `${unit.replace(/\.service$/, '')}-commands.service`], RESTART_SECONDS);
}

function faultOf(verb: string, { code, stderr }: CommandResult): string | undefined {
  return code === 0 ? undefined : `systemctl ${verb} failed: ${stderr.trim().slice(0, 300)}`;
}

function systemctl(argv: readonly string[], seconds: number): CommandResult {
  return runCommand(['systemctl', ...argv], seconds, Bun.env['PATH']);
}
