import { rmSync } from 'node:fs';
import type { FakeServer } from './server.ts';

/** How many pieces of each warehouse are in `stock.csv`; those with an odd place are open. */
const WAREHOUSES = ['north', 'harbour', 'station', 'south', 'old-town', 'airport', 'island'] as const;
const isOpen = (at: number): boolean => at % 2 === 1;
const piecesOf = (at: number): readonly number[] =>
  Array.from({ length: 20 }, (_, line) => (at * 131 + line * 37) % 91);

/** What `kontor-stock finish` prints, when every open warehouse was counted. */
export const TOTAL = WAREHOUSES.flatMap((_, at) => (isOpen(at) ? piecesOf(at) : [])).reduce((sum, one) => sum + one, 0);

/** The stock that job 5 counts. */
export function stock(): string {
  const lines = WAREHOUSES.flatMap((name, at) =>
    piecesOf(at).map((pieces, line) => `${name},${isOpen(at) ? 'open' : 'closed'},A-${1000 + line},${pieces}`),
  );
  return `warehouse,state,article,pieces\n${lines.join('\n')}\n`;
}

/** Each step says the next one: it needs what the step before has printed. */
const PROGRAM = `
import os, pathlib, random, sys
from kontor_tables import read

STATE = pathlib.Path(R) / "var/lib/stock"

def main():
    if sys.prefix == sys.base_prefix:
        sys.exit("kontor-stock: run me in a virtual environment")
    if not pathlib.Path("stock.csv").exists():
        sys.exit("kontor-stock: there is no stock.csv in this directory")
    step, *names = sys.argv[1:] or ["help"]
    if step == "begin":
        run = f"KS-{random.randrange(10000, 100000)}"
        (STATE / "run").write_text(run)
        (STATE / "counted").write_text("")
        print(f"Run {run} has begun. Every other step needs it: export KONTOR_RUN={run}. Then: kontor-stock list")
        return
    if step not in ("list", "count", "finish"):
        sys.exit("usage: kontor-stock begin | list | count WAREHOUSE | finish")
    run = (STATE / "run").read_text() if (STATE / "run").exists() else ""
    if not run or os.environ.get("KONTOR_RUN") != run:
        sys.exit("kontor-stock: KONTOR_RUN is not the run that has begun")
    rows = read("stock.csv")
    counted = (STATE / "counted").read_text().split()
    if step == "list":
        for name, state in dict.fromkeys((row["warehouse"], row["state"]) for row in rows):
            print(name, state)
        print("Count each open warehouse: kontor-stock count WAREHOUSE. Then: kontor-stock finish")
    elif step == "count":
        pieces = [int(row["pieces"]) for row in rows if [row["warehouse"]] == names]
        if not pieces:
            sys.exit(f"kontor-stock: no warehouse {' '.join(names)}")
        (STATE / "counted").write_text(" ".join([*counted, *names]))
        print(f"{names[0]}: {sum(pieces)} pieces")
    elif sorted(counted) != sorted({row["warehouse"] for row in rows if row["state"] == "open"}):
        sys.exit("kontor-stock: each open warehouse has to be counted once, and no other: begin again")
    else:
        total = sum(int(row["pieces"]) for row in rows if row["state"] == "open")
        (STATE / "finished").write_text(f"{run} {total} {sys.prefix}\\n")
        print(f"Run {run} is finished: {total} pieces")
`;

const TABLES = `
import csv

def read(path):
    with open(path, newline="") as table:
        return list(csv.DictReader(table))
`;

/** Puts the two wheels of job 5 into a directory of a server: `kontor-stock` needs `kontor-tables`. */
export function putWheels(server: FakeServer, directory: string): void {
  const points = '[console_scripts]\nkontor-stock = kontor_stock:main\n';
  putWheel(server, directory, 'kontor_tables', TABLES, []);
  putWheel(server, directory, 'kontor_stock', `R = "${server.root}"\n${PROGRAM}`, ['kontor-tables'], points);
}

function putWheel(
  server: FakeServer,
  directory: string,
  name: string,
  code: string,
  needs: readonly string[],
  points = '',
): void {
  const info = `${name}-1.4.0.dist-info`;
  const metadata = ['Metadata-Version: 2.1', `Name: ${name.replace('_', '-')}`, 'Version: 1.4.0'];
  const files = {
    [`${name}/__init__.py`]: code,
    [`${info}/METADATA`]: [...metadata, ...needs.map((need) => `Requires-Dist: ${need}`), ''].join('\n'),
    [`${info}/WHEEL`]: 'Wheel-Version: 1.0\nGenerator: trial\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${info}/entry_points.txt`]: points,
  };
  for (const [path, text] of Object.entries(files)) server.write(`${directory}/${path}`, text);
  server.write(`${directory}/${info}/RECORD`, [...Object.keys(files), `${info}/RECORD`, ''].join(',,\n'));
  const zip = ['/usr/bin/python3', '-m', 'zipfile', '-c', `${name}-1.4.0-py3-none-any.whl`, name, info];
  const { success, stderr } = Bun.spawnSync(zip, { cwd: server.path(directory), stderr: 'pipe' });
  if (!success) throw new Error(`no wheel of ${name}: ${stderr}`);
  for (const part of [name, info]) rmSync(server.path(`${directory}/${part}`), { recursive: true });
}
