import { readProcFile } from '../linux/proc.ts';

/** What processes use at one moment. */
export interface Use {
  /** CPU time since they began, including children that have ended; null if unknown. */
  readonly cpu_ms: number | null;
  /** Their own memory, without what they share with others. */
  readonly memory_bytes: number | null;
}

/** USER_HZ of Linux, on every architecture that Bun runs on. */
const MS_PER_TICK = 10;

/** Returns what these processes use, according to /proc. */
export function useOfProcesses(pids: readonly number[]): Use {
  const all = pids.map((pid) => [cpuMsOf(pid), memoryOf(pid)] as const);
  const sum = (numbers: readonly (number | undefined)[]): number | null => {
    const known = numbers.filter((number) => number !== undefined);
    return known.length === 0 ? null : known.reduce((total, number) => total + number, 0);
  };
  return { cpu_ms: sum(all.map(([cpu]) => cpu)), memory_bytes: sum(all.map(([, memory]) => memory)) };
}

/** Fields 14 to 17 of /proc/PID/stat (proc(5)): user and system time, of itself and of the children it has waited for. */
function cpuMsOf(pid: number): number | undefined {
  const text = readProcFile(`/proc/${pid}/stat`);
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = fields?.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks === undefined || Number.isNaN(ticks) ? undefined : ticks * MS_PER_TICK;
}

function memoryOf(pid: number): number | undefined {
  const kib = /^RssAnon:\s+(\d+) kB$/m.exec(readProcFile(`/proc/${pid}/status`) ?? '')?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}
