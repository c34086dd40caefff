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
  const properties = 'ActiveState,UnitFileState,MainPID,StatusText';
  const text = systemctl(['show', '-p', properties, unit], ASK_SECONDS).stdout;
  const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1] ?? '';
  const [state, file] = [value('ActiveState') || 'unknown', value('UnitFileState')];
  return {
    state,
    isActive: state === 'active' || state === 'reloading',
    isEnabled: file === 'enabled',
    isSwitchedOff: state === 'inactive' && (file === 'disabled' || file === 'masked'),
    pid: Number(value('MainPID')),
    statusText: value('StatusText'),
  };
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

interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function faultOf(verb: string, { code, stderr }: Said): string | undefined {
  return code === 0 ? undefined : `systemctl ${verb} failed: ${stderr.trim().slice(0, 300)}`;
}

function systemctl(argv: readonly string[], seconds: number): Said {
  try {
    const { exitCode, stdout, stderr } = Bun.spawnSync(['systemctl', ...argv], {
      // Nothing of the watchdog's own environment, which holds the token.
      env: { PATH: Bun.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', SYSTEMD_COLORS: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
    });
    return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  } catch (error) {
    return { code: 127, stdout: '', stderr: error instanceof Error ? error.message : String(error) };
  }
}
