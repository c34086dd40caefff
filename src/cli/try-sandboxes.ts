import { userInfo } from 'node:os';
import type { Command } from '@commander-js/extra-typings';
import { faultsHere } from '../install/doctor/profile-machine.ts';
import type { MachineProfile } from '../install/doctor/unit-probe.ts';

/** `agent3 try-sandboxes`, hidden: doctor starts it in a unit like that of the agent. */
export function defineTrySandboxes(command: Command): void {
  command.action(trySandboxes);
}

/** Prints why the profiles on standard input cannot run commands in this very process, as JSON: names and faults. */
async function trySandboxes(): Promise<void> {
  const profiles = (await Bun.stdin.json()) as MachineProfile[];
  process.stdout.write(JSON.stringify([...(await faultsHere(profiles, userInfo().username))]));
}
