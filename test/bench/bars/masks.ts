import { readdirSync, readFileSync } from 'node:fs';
import { maskSecrets } from '../../../src/secrets/secrets.ts';
import { limitRow, median, type Row } from '../bar.ts';

const ROUNDS = 9;
const PART_CHARS = 90_000;

/** What masking costs for each megabyte of a listing and of source code, in parts as answers have them. */
export async function masks(): Promise<Row[]> {
  const listing = Bun.spawnSync(['ls', '-laR', '/usr/share'], { maxBuffer: 4_000_000 }).stdout.toString();
  const source = readdirSync('src', { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map(({ parentPath, name }) => readFileSync(`${parentPath}/${name}`, 'utf8'))
    .join('\n');
  return [
    limitRow('masks of 1 MB of a listing', costOf(listing.slice(0, 2_000_000)), 'ms', 60),
    limitRow('masks of 1 MB of source code', costOf(source.slice(0, 2_000_000)), 'ms', 120),
  ];
}

/** Milliseconds of CPU for a million characters. */
function costOf(text: string): number {
  const costs = Array.from({ length: ROUNDS }, () => {
    const { user } = process.cpuUsage();
    for (let at = 0; at < text.length; at += PART_CHARS) maskSecrets(text.slice(at, at + PART_CHARS));
    return (process.cpuUsage().user - user) / 1000 / (text.length / 1_000_000);
  });
  return median(costs);
}
