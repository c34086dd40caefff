import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MEMORY_OF_ONE_COMMAND, PROCESSES_OF_ONE_COMMAND } from '../lib/limits.ts';

/** What one command, with everything that it starts, may take; undefined where only the limit of all holds. */
export interface ResourceLimits {
  /** Memory and page cache; swap is not to be had beside it. */
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
  /** Of one CPU: 200 are two whole ones. */
  readonly cpuPercent: number | undefined;
  /** Shares of a busy CPU and of a busy disk, 1 to 10000; other commands have 100. */
  readonly cpuWeight?: number | undefined;
  readonly ioWeight?: number | undefined;
}

/** What a command took. */
export interface Usage {
  readonly cpu_ms: number;
  /** The most memory at one moment; undefined on kernels that do not tell (before 5.19). */
  readonly peak_memory_bytes?: number;
  /** The most processes and threads at one moment; undefined on kernels that do not tell (before 6.1). */
  readonly processes?: number;
}

/** The limits of its cgroup that a command ran into. */
export interface LimitHits {
  /** Processes that were killed for want of memory. */
  readonly memory: number;
  /** Processes that could not be started. */
  readonly processes: number;
  /** How long its threads were held back for want of CPU, in all; undefined below a second, which nobody minds. */
  readonly throttled_ms?: number;
  /** The limits: bytes, a number of processes, and per cent of one CPU; undefined where there is none. */
  readonly memory_max?: number;
  readonly processes_max?: number;
  readonly cpu_percent?: number;
}

/** A command that was held back for less runs into no limit that is worth a word. */
const LEAST_THROTTLED_MS = 1000;

/** The controllers that limits and usage need. */
export const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;

/** cpu.max: the quota is given for periods of this length. */
const CPU_PERIOD_US = 100_000;

/** Sets the limits of a new cgroup. Throws the system's error. */
export function applyLimits(path: string, limits: ResourceLimits): void {
  const { memoryBytes, processes, cpuPercent, cpuWeight, ioWeight } = limits;
  const set = (file: string, value: number | string): void => writeFileSync(join(path, file), String(value));
  if (memoryBytes !== undefined) {
    set('memory.max', memoryBytes);
    set('memory.swap.max', 0);
  }
  if (processes !== undefined) set('pids.max', processes);
  if (cpuPercent !== undefined) set('cpu.max', `${Math.round((cpuPercent * CPU_PERIOD_US) / 100)} ${CPU_PERIOD_US}`);
  if (cpuWeight !== undefined) set('cpu.weight', cpuWeight);
  if (ioWeight !== undefined && existsSync(join(path, 'io.weight'))) set('io.weight', ioWeight);
}

/** The part of its weight that a command keeps which has run for a while. */
const LONG_COMMAND_PART = 0.1;

/** Lets what runs in a cgroup go behind those beside it that begin. Throws the system's error. */
export function lowerWeight(path: string): void {
  const file = join(path, 'cpu.weight');
  const weight = Number(readFileSync(file, 'latin1'));
  writeFileSync(file, String(Math.max(1, Math.round(weight * LONG_COMMAND_PART))));
}

/** What the processes of a cgroup took since it was made, and the limits that they reached. */
export interface Cost {
  readonly usage: Usage;
  /** Undefined when none was reached. */
  readonly hits?: LimitHits;
}

/**
 * What the kernel tells of a cgroup; undefined where it is gone. Without controllers only the CPU time: to look for a
 * file that is not there takes 30 µs, and four of them a tenth of a short command.
 */
export function costOf(path: string, hasControllers: boolean): Cost | undefined {
  const cpu = readText(join(path, 'cpu.stat'));
  const cpuMicroseconds = entryIn(cpu, 'usage_usec');
  if (cpuMicroseconds === undefined) return undefined;
  const cpu_ms = Math.round(cpuMicroseconds / 1000);
  if (!hasControllers) return { usage: { cpu_ms } };
  const memory = numberOf(path, 'memory.peak');
  const processes = numberOf(path, 'pids.peak');
  const hits = hitsOf(path, cpu);
  return {
    usage: {
      cpu_ms,
      ...(memory !== undefined && { peak_memory_bytes: memory }),
      ...(processes !== undefined && { processes }),
    },
    ...(hits !== undefined && { hits }),
  };
}

/** What the processes of a cgroup use now; undefined where it is gone, or the kernel does not count it. */
export function useOfCgroup(path: string): { readonly cpu_ms?: number; readonly memory_bytes?: number } {
  const cpuMicroseconds = entryIn(readText(join(path, 'cpu.stat')), 'usage_usec');
  const memory = numberOf(path, 'memory.current');
  return {
    ...(cpuMicroseconds !== undefined && { cpu_ms: Math.round(cpuMicroseconds / 1000) }),
    ...(memory !== undefined && { memory_bytes: memory }),
  };
}

/** How often the limits of a cgroup were reached; undefined when none was. */
function hitsOf(path: string, cpu: string | undefined): LimitHits | undefined {
  const memory = entryIn(readText(join(path, 'memory.events')), 'oom_kill') ?? 0;
  const processes = entryIn(readText(join(path, 'pids.events')), 'max') ?? 0;
  const throttledMs = Math.round((entryIn(cpu, 'throttled_usec') ?? 0) / 1000);
  const isThrottled = throttledMs >= LEAST_THROTTLED_MS;
  if (memory + processes === 0 && !isThrottled) return undefined;
  const [memoryMax, processesMax] = [numberOf(path, 'memory.max'), numberOf(path, 'pids.max')];
  const cpuPercent = isThrottled ? cpuPercentOf(path) : undefined;
  return {
    memory,
    processes,
    ...(isThrottled && { throttled_ms: throttledMs }),
    ...(cpuPercent !== undefined && { cpu_percent: cpuPercent }),
    ...(memory > 0 && memoryMax !== undefined && { memory_max: memoryMax }),
    ...(processes > 0 && processesMax !== undefined && { processes_max: processesMax }),
  };
}

/** The quota of a cgroup in per cent of one CPU; undefined where there is none. */
function cpuPercentOf(path: string): number | undefined {
  const [quota, period] = (readText(join(path, 'cpu.max')) ?? '').trim().split(' ').map(Number);
  return quota !== undefined && period !== undefined && quota > 0 ? Math.round((quota / period) * 100) : undefined;
}

/** The limits of one command where the owner has set none: a part of what all commands have together. */
export function defaultLimits(path: string, given: ResourceLimits): ResourceLimits {
  const part = (file: string, of: number): number | undefined => {
    const whole = numberOf(path, file);
    return whole === undefined ? undefined : Math.floor(whole * of);
  };
  return {
    memoryBytes: given.memoryBytes ?? part('memory.max', MEMORY_OF_ONE_COMMAND),
    processes: given.processes ?? part('pids.max', PROCESSES_OF_ONE_COMMAND),
    cpuPercent: given.cpuPercent,
  };
}

/** The number in a file; undefined where there is none, as in `max`. */
function numberOf(path: string, file: string): number | undefined {
  const text = readText(join(path, file))?.trim();
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** The number behind a name in a text of lines `name number`. */
function entryIn(text: string | undefined, name: string): number | undefined {
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(text ?? '');
  return match === null ? undefined : Number(match[1]);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return undefined;
  }
}
