import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const SOURCE = join(import.meta.dir, '../../src');
const transpiler = new Bun.Transpiler({ loader: 'ts' });

/** The modules that are loaded with one, itself among them. */
function loadedWith(path: string, known = new Set<string>()): ReadonlySet<string> {
  if (known.has(path)) return known;
  known.add(path);
  for (const { path: name, kind } of transpiler.scanImports(readFileSync(path, 'utf8')))
    if (name.startsWith('.') && kind === 'import-statement') loadedWith(join(dirname(path), name), known);
  return known;
}

test('the server of the console loads nothing of the agent', () => {
  const modules = [...loadedWith(join(SOURCE, 'console/serve.ts'))].map((path) => relative(SOURCE, path));
  const folders = new Set(modules.map((path) => dirname(path)));
  expect([...folders].sort()).toEqual(['console', 'console/push', 'http', 'lib', 'linux', 'settings']);
  expect(modules.filter((path) => path.startsWith('http/')).sort()).toEqual(['http/auth.ts', 'http/limiters.ts']);
  for (const own of ['inbox', 'view', 'agent-door', 'wire-server', 'page-files', 'push/pushes', 'push/seal'])
    expect(modules).not.toContain(`console/${own}.ts`);
});

test('what root freezes with loads nothing of the fleet', () => {
  const modules = [...loadedWith(join(SOURCE, 'cli/console-obey.ts'))].map((path) => relative(SOURCE, path));
  expect(modules).toContain('console/passed-on.ts');
  expect(modules.filter((path) => path.startsWith('fleet/'))).toEqual([]);
});
