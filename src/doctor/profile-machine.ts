import { accountOf, type NamedAccount } from '../execution/environment.ts';
import { hardLinkNotes } from '../execution/hidden.ts';
import { asUser, sandboxFault } from '../execution/sandbox.ts';
import type { Profile } from '../profiles/profile.ts';

/**
 * Why the commands of a profile could not run on this machine as the profile wants it; undefined when they can. As root
 * it is tried as the user that they would run as: that of the profile, or `own`, the user of the installed agent.
 */
export function machineFault({ user, sandbox }: Profile, own: string | undefined): string | undefined {
  if (user !== undefined && accountOf(user) === undefined) return `there is no user ${user}`;
  if (sandbox === undefined) return undefined;
  const { directory } = sandbox;
  const account = becomes(user ?? own);
  const spec = { ...sandbox, writable: directory === undefined ? [] : [directory], account };
  const fault = sandboxFault(spec);
  if (fault !== undefined || directory === undefined || account === undefined) return fault;
  const { exitCode } = Bun.spawnSync([...asUser(account), 'test', '-w', directory, '-a', '-x', directory]);
  return exitCode === 0 ? undefined : `the user ${account.name} may not write to ${directory}`;
}

/** Why the installed agent, whose user is `own`, cannot run commands as the user of a profile: only root becomes another. */
export function userFault({ user }: Profile, own: string | undefined): string | undefined {
  if (user === undefined || own === undefined || own === 'root') return undefined;
  return `the installed agent runs as ${own}, not as root, so it cannot run commands as ${user}: they are refused`;
}

/** What the owner of a profile may not know of this machine, a sentence each. */
export function machineNotes({ sandbox }: Profile): string[] {
  if (sandbox === undefined) return [];
  const writable = sandbox.directory === undefined ? [] : [sandbox.directory];
  return hardLinkNotes({ hidden: sandbox.hidden, writable });
}

function becomes(user: string | undefined): NamedAccount | undefined {
  return process.geteuid?.() === 0 && user !== undefined && user !== 'root' ? accountOf(user) : undefined;
}
