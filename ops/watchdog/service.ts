import { type CommandResult, runCommand } from './command.ts';

/** The state of the agent's unit in systemd. */
export interface ServiceState {
  /** As systemd calls it: `active`, `reloading`, `inactive`, `failed` …; `unknown` when it cannot be asked. */
  readonly state: string;
  /** It runs, also during a reload. */
  readonly isActive: boolean;
  readonly isEnabled: boolean;
  /** Its owner has disabled it, so it must not be started again. */
  readonly isSwitchedOff: boolean;
  /** It cannot be started before `systemctl unmask`. */
  readonly isMasked: boolean;
  /** Its process; 0 when it does not run. */
  readonly pid: number;
  /** The status text of the agent about its commands. */
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
    isMasked: file === 'masked',
    pid: Number(value.MainPID),
    statusText: value.StatusText,
  };
}

/** Returns properties of a unit (systemctl(1), show), in the order of `names`; empty when systemd cannot be asked. */
export function unitProperties<N extends string>(unit: string, ...names: readonly N[]): Record<N, string> {
  const { stdout } = systemctl(['show', '-p', names.join(','), unit], ASK_SECONDS);
  const value = (name: N): string => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1] ?? '';
  return Object.fromEntries(names.map((name) => [name, value(name)])) as Record<N, string>;
}

const ASK_SECONDS = 5;
const RESTART_SECONDS = 90;

/** Restarts the unit and waits until it is ready. Returns the error of systemd, if any. */
export function restart(unit: string): string | undefined {
  return faultOf('restart', systemctl(['restart', unit], RESTART_SECONDS));
}

/** Starts a unit without waiting. Returns the error of systemd, if any. */
export function startUnit(unit: string): string | undefined {
  return faultOf(`start ${unit}`, systemctl(['--no-block', 'start', unit], ASK_SECONDS));
}

/** Stops every command of the agent. They run in their own unit, which a restart of the agent does not stop. */
export function stopCommands(unit: string): void {
  systemctl(['try-restart', `${unit.replace(/\.service$/, '')}-commands.service`], RESTART_SECONDS);
}

function faultOf(verb: string, { code, stderr }: CommandResult): string | undefined {
  return code === 0 ? undefined : `systemctl ${verb} failed: ${stderr.trim().slice(0, 300)}`;
}

function systemctl(argv: readonly string[], seconds: number): CommandResult {
  return runCommand(['systemctl', ...argv], seconds, Bun.env['PATH']);
}
