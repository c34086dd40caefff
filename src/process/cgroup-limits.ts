import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MEMORY_OF_ONE_COMMAND, PROCESSES_OF_ONE_COMMAND } from '../lib/limits.ts';

/** Limits of one command with everything that it starts; undefined means only the limit of all commands applies. */
export interface ResourceLimits {
  /** Memory and page cache. Swap is not available in addition. */
  readonly memoryBytes: number | undefined;
  readonly processes: number | undefined;
  /** Percent of one CPU: 200 is two whole CPUs. */
  readonly cpuPercent: number | undefined;
  /** Shares of a busy CPU and of a busy disk, 1 to 10000; other commands have 100. */
  readonly cpuWeight?: number | undefined;
  readonly ioWeight?: number | undefined;
}

/** What a command used. */
export interface Usage {
  readonly cpu_ms: number;
  /** The most memory at one moment; undefined on kernels before 5.19, which do not report it. */
  readonly peak_memory_bytes?: number;
  /** The most processes and threads at one moment; undefined on kernels before 6.1, which do not report it. */
  readonly processes?: number;
}

/** The limits of its cgroup that a command reached. */
export interface LimitHits {
  /** Processes killed because no memory was left. */
  readonly memory: number;
  /** Processes that could not be started. */
  readonly processes: number;
  /** How long its threads waited for CPU time because of the limit, in all; undefined below one second. */
  readonly throttled_ms?: number;
  /** The limits that were reached: bytes, number of processes, percent of one CPU. Undefined if not set. */
  readonly memory_max?: number;
  readonly processes_max?: number;
  readonly cpu_percent?: number;
}

/** Throttling below this is not reported. */
const LEAST_THROTTLED_MS = 1000;

/** The controllers that limits and usage need. */
export const CONTROLLERS = ['memory', 'pids', 'cpu'] as const;

/** cpu.max: the quota applies to periods of this length. */
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

/** The part of its weight that a long-running command keeps. */
const LONG_COMMAND_PART = 0.1;

/** Lowers the CPU weight of a cgroup, so that new commands go first. Throws the system's error. */
export function lowerWeight(path: string): void {
  const file = join(path, 'cpu.weight');
  const weight = Number(readFileSync(file, 'latin1'));
  writeFileSync(file, String(Math.max(1, Math.round(weight * LONG_COMMAND_PART))));
}

/** What the processes of a cgroup used since it was made, and the limits that they reached. */
export interface Cost {
  readonly usage: Usage;
  /** Undefined when none was reached. */
  readonly hits?: LimitHits;
}

/**
 * Returns what the kernel reports about a cgroup; undefined if it is gone. Without controllers, only the CPU time:
 * looking for a file that does not exist takes 30 µs, and four of them take a tenth of a short command.
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

/** Returns what the processes of a cgroup use now. Fields that the kernel does not report are undefined. */
export function useOfCgroup(path: string): { readonly cpu_ms?: number; readonly memory_bytes?: number } {
  const cpuMicroseconds = entryIn(readText(join(path, 'cpu.stat')), 'usage_usec');
  const memory = numberOf(path, 'memory.current');
  return {
    ...(cpuMicroseconds !== undefined && { cpu_ms: Math.round(cpuMicroseconds / 1000) }),
    ...(memory !== undefined && { memory_bytes: memory }),
  };
}

/** Returns how often the limits of a cgroup were reached; undefined if never. */
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

/** Returns the quota of a cgroup in percent of one CPU; undefined without a quota. */
function cpuPercentOf(path: string): number | undefined {
  const [quota, period] = (readText(join(path, 'cpu.max')) ?? '').trim().split(' ').map(Number);
  return quota !== undefined && period !== undefined && quota > 0 ? Math.round((quota / period) * 100) : undefined;
}

/** Returns the limits of a command if the owner has set no others: a part of what all commands have together. */
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

/** Returns the number in a file; undefined if it has no number, as in `max`. */
function numberOf(path: string, file: string): number | undefined {
  const text = readText(join(path, file))?.trim();
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
}

/** Returns the number after a name in a text of lines `name number`. */
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
