import { readFileSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, hostname, loadavg, release, totalmem, uptime } from 'node:os';
import { type Static, Type } from '@sinclair/typebox';
import { reasonOf } from '../access/freeze.ts';
import { canUse, OPERATIONS, type Profile, userOf } from '../access/profile.ts';
import { messageOf } from '../calls/answer.ts';
import type { CallContext, OperationDeps } from '../calls/context.ts';
import { lookLack } from '../commands/look.ts';
import { LOOK_USER } from '../lib/look-user.ts';
import { version } from '../version.ts';
import { defineOperation, type Operation } from './operation.ts';

const MIB = 1_048_576;

/** `server_info`: returns what a model should know before its first command. */
export function serverInfoOperation(deps: OperationDeps): Operation {
  return defineOperation(deps, {
    name: 'server_info',
    summary: 'Describe the server',
    description: 'Describes the system, load, memory, disks, user, limits, and what this token may do.',
    args: Type.Object({}),
    result: resultSchema,
    destructive: false,
    readOnly: true,
    whileFrozen: true,
    run: async (_given, context, ignored) => ({
      ...describe(deps, context),
      ...(await lookField(deps, context)),
      ...messageOf(ignored),
    }),
  });
}

const mib = (description: string) => Type.Integer({ description: `${description}, in MiB.` });

const resultSchema = Type.Object({
  hostname: Type.String({ description: 'Name of the server.' }),
  os: Type.String({ description: 'Distribution and release.' }),
  kernel: Type.String({ description: 'Release of the Linux kernel.' }),
  architecture: Type.String({ description: 'Processor architecture.' }),
  cpus: Type.Integer({ description: 'Processors that commands may use.' }),
  uptime_seconds: Type.Integer({ description: 'Time since the server booted.' }),
  load: Type.Array(Type.Number(), { description: 'Load average of 1, 5 and 15 minutes.' }),
  memory_mib: Type.Object({ total: mib('Memory'), available: mib('Memory that can be used now') }),
  disks: Type.Array(Type.Object({ path: Type.String(), total_mib: mib('Size'), free_mib: mib('Free') }), {
    description: 'The disk of the root directory, and that of the sessions.',
  }),
  user: Type.String({ description: 'User that commands run as.' }),
  home: Type.String({ description: 'Working directory of a command that names none.' }),
  shell: Type.String({ description: 'Shell that runs commands.' }),
  time: Type.String({ description: 'Time on the server, ISO 8601, UTC.' }),
  time_zone: Type.String({ description: 'Time zone of the server.' }),
  frozen: Type.Optional(
    Type.Object(
      { reason: Type.String(), since: Type.String({ description: 'ISO 8601, UTC.' }) },
      { description: 'While the owner has frozen the server: nothing begins, and commands are stopped.' },
    ),
  ),
  sessions_running: Type.Integer({ description: 'Commands that run now.' }),
  limits: Type.Object({
    reply_seconds: Type.Number({ description: 'Time limit of an answer.' }),
    execution_seconds: Type.Number({ description: 'Time limit of a command of POST / without a timeout.' }),
    background_seconds: Type.Number({ description: 'Longest that any command may run; 0: execution_seconds.' }),
    output_bytes: Type.Integer({ description: 'Output in one answer.' }),
    session_bytes: Type.Integer({ description: 'Output of one session.' }),
  }),
  profile: Type.Object(
    {
      name: Type.String(),
      description: Type.String(),
      has_rules: Type.Boolean({ description: 'Some commands are denied, or need approval by a person.' }),
      writable: Type.Optional(
        Type.Array(Type.String(), {
          description:
            'In a sandbox: directories that commands may write to, besides their own /tmp, /var/tmp and /run.',
        }),
      ),
      network: Type.Optional(Type.Boolean({ description: 'In a sandbox: whether commands have the network.' })),
      operations: Type.Optional(
        Type.Array(Type.String(), { description: 'The only operations that this token can use.' }),
      ),
      memory_mib: Type.Optional(Type.Integer({ description: 'Memory of one command, in MiB.' })),
      processes: Type.Optional(Type.Integer({ description: 'Processes and threads of one command.' })),
      cpu_percent: Type.Optional(Type.Number({ description: 'CPU time of one command, in per cent of one CPU.' })),
      file_mib: Type.Optional(Type.Integer({ description: 'Size of a file that a command writes, in MiB.' })),
      running: Type.Optional(Type.Integer({ description: 'Commands at once.' })),
    },
    { description: 'What the commands of this token may do.' },
  ),
  look: Type.Optional(Type.String({ description: 'What the operation look lacks on this server.' })),
  version: Type.String({ description: 'Version of Agent3.' }),
  message: Type.Optional(Type.String({ description: 'What happened and which call comes next.' })),
});

function describe(
  { home, user, store, commands, clock, freeze }: OperationDeps,
  { profile, limits }: CallContext,
): Static<typeof resultSchema> {
  const frozen = freeze.current;
  const runsAs = userOf(profile, process.geteuid?.() === 0);
  return {
    ...describeMachine(store.directory),
    user: runsAs ?? user,
    home: profile.sandbox?.directory ?? (runsAs === LOOK_USER ? '/' : home),
    shell: limits.shell,
    time: new Date(clock.now()).toISOString(),
    time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    ...(frozen !== undefined && {
      frozen: { reason: reasonOf(frozen), since: new Date(frozen.since).toISOString() },
    }),
    sessions_running: commands.supervised,
    limits: {
      reply_seconds: limits.replySeconds,
      execution_seconds: limits.maxExecSeconds,
      background_seconds: limits.maxBackgroundSeconds,
      output_bytes: limits.maxOutputBytes,
      session_bytes: limits.maxSessionBytes,
    },
    profile: profileIn(profile),
    version,
  };
}

/**
 * Describes the machine now. `sessions` is a directory whose disk is named in addition to that of the root directory.
 */
export function describeMachine(sessions: string) {
  return {
    hostname: hostname(),
    os: distribution(),
    kernel: release(),
    architecture: arch(),
    cpus: availableParallelism(),
    uptime_seconds: Math.round(uptime()),
    load: loadavg().map((value) => Math.round(value * 100) / 100),
    memory_mib: { total: Math.round(totalmem() / MIB), available: availableMib() },
    disks: ['/', sessions].flatMap(disk),
  };
}

async function lookField({ ownPaths, clock }: OperationDeps, { profile }: CallContext): Promise<{ look?: string }> {
  if (profile.operations?.includes('look') === false) return {};
  const look = await lookLack(profile, ownPaths, clock);
  return look === undefined ? {} : { look };
}

function profileIn(profile: Profile) {
  const { name, description, hasRules, sandbox, limits } = profile;
  const operations = OPERATIONS.filter((one) => canUse(profile, one));
  const { memory_mib, processes, cpu_percent, file_mib, running } = limits;
  return {
    name,
    description,
    has_rules: hasRules,
    ...(sandbox !== undefined && {
      writable: sandbox.directory === undefined ? [] : [sandbox.directory],
      network: sandbox.network,
    }),
    ...(operations.length < OPERATIONS.length && { operations }),
    ...(memory_mib !== undefined && { memory_mib }),
    ...(processes !== undefined && { processes }),
    ...(cpu_percent !== undefined && { cpu_percent }),
    ...(file_mib !== undefined && { file_mib }),
    ...(running !== undefined && { running }),
  };
}

/** `PRETTY_NAME` of os-release(5). */
export function distribution(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}

/** `MemAvailable` of /proc/meminfo: what can be used without swapping, which is more than the free memory (proc(5)). */
function availableMib(): number {
  const kibibytes = /^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return Math.round(Number(kibibytes ?? 0) / 1024);
}

function disk(path: string): { path: string; total_mib: number; free_mib: number }[] {
  try {
    const { blocks, bavail, bsize } = statfsSync(path);
    return [{ path, total_mib: Math.round((blocks * bsize) / MIB), free_mib: Math.round((bavail * bsize) / MIB) }];
  } catch {
    // The directory was removed; the rest is still worth knowing.
    return [];
  }
}
