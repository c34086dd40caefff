import { statSync } from 'node:fs';
import { findFault, isSwitchedOff } from '../../ops/watchdog/check.ts';
import { readTarget } from '../../ops/watchdog/target.ts';
import { runCommand } from '../install/command.ts';
import { installedBinary } from '../install/install.ts';
import { PATHS, SERVICE, WATCHDOG_TIMER } from '../install/layout.ts';
import { readText } from '../install/machine.ts';
import type { Manifest } from '../install/manifest.ts';
import { healthUrl, serviceState, versionOn, whyNot } from '../install/service.ts';
import { parseSettings } from '../install/settings-file.ts';
import { addressOf } from '../install/survey.ts';
import { TEMPLATES } from '../install/templates.ts';
import { bad, type Finding, good } from './finding.ts';

/** Where the owner looks for the reason of whatever the service does. */
const LOOK = 'look at: journalctl -u agent3 -n 20, and /var/log/agent3/agent3.err';

/** The unit: does it run, and does it start at boot. */
export function unitFinding(): Finding {
  const { active, enabled, commands } = serviceState();
  if (isSwitchedOff(SERVICE)) {
    return bad('service', 'switched off by its owner', 'to have it again: systemctl enable --now agent3');
  }
  if (!active)
    return bad('service', `not active. ${whyNot(`${PATHS.logs}/agent3.err`)}`, `systemctl start agent3; ${LOOK}`);
  if (!enabled) return bad('service', 'active, and does not start at boot', 'systemctl enable agent3');
  return good('service', `active, starts at boot; ${commands} commands running`);
}

/** Does it answer, and is what runs what is installed. */
export async function healthFinding(manifest: Manifest, values: Readonly<Record<string, string>>): Promise<Finding> {
  const { host, port, tls } = addressOf(values);
  const url = healthUrl(host, port, tls);
  const running = await versionOn(url);
  if (running === undefined) return bad('health', `${url} does not answer`, LOOK);
  const { stdout } = runCommand([installedBinary(manifest), '--version'], 10);
  const installed = /^agent3 (\S+)/.exec(stdout)?.[1] ?? 'unknown';
  if (installed !== running) {
    return bad('health', `version ${running} answers, and ${installed} is installed`, 'systemctl restart agent3');
  }
  return good('health', `${url} answers, version ${running}`);
}

/** Does a real command come back. */
export async function commandFinding(values: Readonly<Record<string, string>>): Promise<Finding> {
  if (!values['AGENT3_API_TOKEN']) return bad('command', 'the settings have no token', 'agent3 install makes one');
  const fault = await findFault(readTarget(SERVICE, values));
  return fault === undefined ? good('command', 'a real command came back') : bad('command', fault, LOOK);
}

/** Who else could read the token, and whether everything that stands beside it has an effect. */
export function settingsFinding(): Finding {
  const stat = statSync(PATHS.settings, { throwIfNoEntry: false });
  if (stat === undefined) return bad('settings', `${PATHS.settings} is missing`, 'agent3 install');
  const mode = (stat.mode & 0o777).toString(8);
  if ((stat.mode & 0o077) !== 0 || stat.uid !== 0) {
    const repair = `chown root:root ${PATHS.settings}; chmod 600 ${PATHS.settings}`;
    return bad('settings', `${PATHS.settings} has mode ${mode}: others can read the token`, repair);
  }
  const unknown = unknownSettings(Object.keys(parseSettings(readText(PATHS.settings) ?? '')));
  if (unknown.length > 0) {
    const what = `${unknown.join(', ')} in ${PATHS.settings}: there is no such setting, so it has no effect`;
    return bad('settings', what, 'correct the name (agent3 serve --help has them all), then systemctl restart agent3');
  }
  return good('settings', `${PATHS.settings} is root's alone`);
}

/** What is no setting and may stand among them all the same: see `OTHER_NAMES` in config.ts. */
export const OTHER_VARIABLES = ['AGENT3_TOKEN', 'AGENT3_SESSION', 'AGENT3_URL'] as const;

/** Those of `names` that are meant to be settings and are none. The file that the installer writes has all there are. */
export function unknownSettings(names: readonly string[]): string[] {
  const known = new Set<string>([...OTHER_VARIABLES, ...(TEMPLATES.settings.match(/\bAGENT3_\w+(?==)/g) ?? [])]);
  return names.filter((name) => name.startsWith('AGENT3_') && !known.has(name));
}

/** Is the agent reachable from elsewhere without encryption. */
export function exposureFinding(values: Readonly<Record<string, string>>): Finding {
  const { host, port, tls } = addressOf(values);
  const isLoopback = /^127\.|^::1$|^localhost$/.test(host);
  if (isLoopback || tls) return good('address', `${host} port ${port}${tls ? ', HTTPS' : ''}`);
  return bad(
    'address',
    `${host} port ${port} is open to the network without encryption: the token can be read on its way`,
    'agent3 install --host 127.0.0.1 --domain NAME puts Caddy with HTTPS in front',
  );
}

/** The watchdog: does it look, and what did it see last. */
export function watchdogFinding({ watchdog }: Manifest): Finding {
  if (watchdog === 'none') return good('watchdog', 'left out at the installation; agent3 install --watchdog adds it');
  if (watchdog === 'timer' && runCommand(['systemctl', 'is-active', '--quiet', WATCHDOG_TIMER]).code !== 0) {
    return bad('watchdog', 'its timer is not active', `systemctl enable --now ${WATCHDOG_TIMER}`);
  }
  const last = (readText(`${PATHS.logs}/watchdog.log`) ?? '').trim().split('\n').at(-1) ?? '';
  const [time = '', ...words] = last.split(' - ');
  if (time === '') return good('watchdog', 'on; its first check is due within 5 minutes');
  const ageMinutes = (Date.now() - Date.parse(time)) / 60_000;
  if (ageMinutes > LATE_MINUTES) {
    return bad(
      'watchdog',
      `last check ${time}, ${Math.round(ageMinutes)} minutes ago`,
      'systemctl status agent3-watchdog.timer agent3-watchdog',
    );
  }
  const isFine = /running OK|running again/.test(last);
  return isFine ? good('watchdog', last) : bad('watchdog', `${time}: ${words.join(' - ')}`, LOOK);
}

/** Three checks missed. */
const LATE_MINUTES = 16;
