import { userInfo } from 'node:os';
import { faultsHere } from '../install/doctor/profile-machine.ts';
import type { MachineProfile } from '../install/doctor/unit-probe.ts';

/** Prints why the profiles on standard input could not run commands in this very process, as JSON: names and faults. */
export async function trySandboxes(): Promise<void> {
  const profiles = (await Bun.stdin.json()) as MachineProfile[];
  process.stdout.write(JSON.stringify([...faultsHere(profiles, userInfo().username)]));
}
