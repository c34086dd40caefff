import settings from '../../ops/agent3.env.example' with { type: 'text' };
import logrotate from '../../ops/agent3.logrotate' with { type: 'text' };
import unit from '../../ops/agent3.service' with { type: 'text' };
import slice from '../../ops/agent3.slice' with { type: 'text' };
import commandsUnit from '../../ops/agent3-commands.service' with { type: 'text' };
import rootDropIn from '../../ops/agent3-root.conf' with { type: 'text' };
import userDropIn from '../../ops/agent3-user.conf' with { type: 'text' };
import watchdogService from '../../ops/agent3-watchdog.service' with { type: 'text' };
import watchdogTimer from '../../ops/agent3-watchdog.timer' with { type: 'text' };
import caddySite from '../../ops/Caddyfile' with { type: 'text' };

/** The files of `ops/`, which are part of the executable. */
export const TEMPLATES = {
  settings,
  logrotate,
  unit,
  commandsUnit,
  slice,
  rootDropIn,
  userDropIn,
  watchdogService,
  watchdogTimer,
  caddySite,
} as const;

/** `template` with each `@NAME@` replaced. Throws when one is left: it would end up in a file of the system. */
export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/@([A-Z_]+)@/g, (whole, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`${whole} has no value`);
    return value;
  });
}
