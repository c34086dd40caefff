import { describe, expect, test } from 'bun:test';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import manifest from '../package.json';
import { describeFaults, phrasesIn, phrasesInSource } from './words.ts';

const ROOT = join(import.meta.dir, '..');
const SOURCE = join(ROOT, 'src');
const MAX_LINES = 300;
const MAX_README_LINES = 180;
const MAX_PICTURE_BYTES = 150_000;

/** Which folders of src a folder may import, other than itself. A file directly in src goes by its own name. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  version: [],
  lib: [],
  settings: ['lib'],
  linux: [],
  shell: [],
  rules: ['shell'],
  secrets: ['shell'],
  diagnosis: ['linux', 'lib'],
  process: ['diagnosis', 'linux', 'lib'],
  sandbox: ['process', 'linux', 'lib'],
  sessions: ['linux', 'lib'],
  contexts: ['lib'],
  access: ['rules', 'sessions', 'linux', 'lib'],
  audit: ['access', 'contexts', 'sessions', 'secrets', 'linux', 'lib'],
  commands: ['audit', 'access', 'contexts', 'rules', 'sandbox', 'process', 'diagnosis', 'sessions', 'linux', 'lib'],
  calls: ['commands', 'contexts', 'audit', 'access', 'secrets', 'process', 'diagnosis', 'sessions', 'lib'],
  files: ['calls', 'commands', 'audit', 'access', 'rules', 'sandbox', 'process', 'sessions', 'linux', 'lib'],
  operations: [
    'files',
    'calls',
    'commands',
    'contexts',
    'access',
    'rules',
    'sandbox',
    'process',
    'sessions',
    'lib',
    'version',
  ],
  http: ['operations', 'files', 'calls', 'lib'],
  mcp: ['http', 'operations', 'calls', 'lib'],
  connect: ['http', 'audit', 'access', 'lib'],
  client: ['lib'],
  fleet: ['console', 'http', 'operations', 'files', 'calls', 'access', 'sessions', 'linux', 'lib', 'version'],
  console: ['http', 'commands', 'audit', 'access', 'process', 'sessions', 'linux', 'settings', 'lib', 'version'],
  install: ['console', 'access', 'audit', 'sandbox', 'process', 'linux', 'settings', 'lib', 'version', 'ops'],
  server: [
    ...[
      'http',
      'mcp',
      'connect',
      'console',
      'fleet',
      'operations',
      'files',
      'calls',
      'commands',
      'contexts',
      'audit',
      'access',
      'secrets',
      'process',
      'sessions',
    ],
    ...['linux', 'settings', 'lib', 'version'],
  ],
  cli: [
    ...[
      'server',
      'connect',
      'console',
      'fleet',
      'operations',
      'calls',
      'commands',
      'install',
      'client',
      'audit',
      'access',
      'rules',
      'sandbox',
    ],
    ...['process', 'sessions', 'linux', 'settings', 'lib', 'version', 'ops'],
  ],
  main: ['cli'],
};

/** Packages that only some folders may import. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  elysia: ['http'],
  '@elysiajs/swagger': ['http'],
  'swagger-ui-dist': ['http'],
  '@modelcontextprotocol/server': ['mcp'],
  '@simplewebauthn/server': ['console'],
  '@simplewebauthn/browser': ['console'],
  '@xterm/xterm': ['console'],
  preact: ['console'],
  'reflect-metadata': ['console'],
  http_ece: ['console'],
  '@nats-io/transport-node': ['fleet'],
  cron: ['server'],
  'prom-client': ['http'],
  'eventsource-parser': ['client'],
  'ipaddr.js': ['lib'],
  pino: ['server', 'http', 'mcp'],
  commander: ['cli'],
  uqr: ['cli', 'console'],
  '@commander-js/extra-typings': ['cli'],
};

/** A type-only import vanishes in the build; `scanImports` does not see it, the text does. */
const IMPORT = /^(?:import|export)\b[^;]*?\bfrom '([^']+)'|\bimport\('([^']+)'\)/gms;

interface SourceFile {
  readonly path: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

const files: readonly SourceFile[] = [...new Bun.Glob('**/*.{ts,tsx}').scanSync(SOURCE)].map((path) => {
  const text = readFileSync(join(SOURCE, path), 'utf8');
  const imports = [...text.matchAll(IMPORT)].map((match) => match[1] ?? match[2] ?? '');
  return { path, folder: folderOf(path), text, imports };
});

function folderOf(path: string): string {
  return path.split('/')[0]?.replace(/\.ts$/, '') ?? '';
}

/** `@scope/name/path` → `@scope/name`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function target(file: SourceFile, specifier: string): string {
  return relative(SOURCE, resolve(SOURCE, dirname(file.path), specifier));
}

describe('the source', () => {
  test('is where the import table expects it', () => {
    expect([...new Set(files.map((file) => file.folder))].sort()).toEqual(Object.keys(MAY_IMPORT).sort());
  });

  test('imports only what the table allows', () => {
    const wrong: string[] = [];
    for (const file of files) {
      for (const specifier of file.imports.filter((one) => one.startsWith('.'))) {
        // The files of ops/ lie outside, and are embedded.
        const folder = folderOf(target(file, specifier).replace(/^\.\.\//, ''));
        if (folder !== file.folder && !MAY_IMPORT[file.folder]?.includes(folder))
          wrong.push(`${file.path} → ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('keeps each package in the folder that owns it', () => {
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((specifier) => OWNERS[packageOf(specifier)]?.includes(file.folder) === false)
        .map((specifier) => `${file.path} → ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test('has no import cycle', () => {
    const graph = new Map(
      files.map((file) => [
        file.path,
        file.imports.filter((one) => one.startsWith('.')).map((specifier) => target(file, specifier)),
      ]),
    );
    const state = new Map<string, 'open' | 'done'>();
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'done') return;
      if (state.get(path) === 'open') throw new Error(`import cycle: ${[...trail, path].join(' → ')}`);
      state.set(path, 'open');
      for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
      state.set(path, 'done');
    };
    for (const file of files) visit(file.path, []);
  });

  test(`has no file over ${MAX_LINES} lines`, () => {
    const long = files.filter((file) => file.text.split('\n').length > MAX_LINES).map((file) => file.path);
    expect(long).toEqual([]);
  });

  test.each(['src', 'ops', 'test'])('has comments and messages in plain words in %s', (folder) => {
    const there = [
      ...new Bun.Glob(`${folder}/**/{*.{ts,tsx,sh,bash,pl,service,conf,logrotate},install,*Caddyfile}`).scanSync(ROOT),
    ];
    const faults = there
      .filter((path) => path !== 'test/words.ts')
      .flatMap((path) => phrasesInSource(readFileSync(join(ROOT, path), 'utf8')).map((fault) => `${path}: ${fault}`));
    expect(there.length).toBeGreaterThan(10);
    expect(faults).toEqual([]);
  });

  test('has a changelog in plain words', () => {
    const lines = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8').split('\n');
    expect(lines.filter((line) => phrasesIn(line).length > 0)).toEqual([]);
  });

  test('reads the environment in one place', () => {
    const readers = files.filter((file) => /process\.env\b(?!\[name\])/.test(file.text)).map((file) => file.path);
    expect(readers.sort()).toEqual(['linux/libc.ts', 'settings/environment.ts']);
  });

  test('has no default export and nothing left to do', () => {
    const left = files.filter((file) => /export default|TODO|FIXME|XXX|HACK/.test(file.text)).map((file) => file.path);
    expect(left).toEqual([]);
  });
});

describe('the watchdog', () => {
  test('imports nothing of src: it lives when the agent is broken', () => {
    const own = ['watchdog.ts', 'env-file.ts', ...new Bun.Glob('watchdog/*.ts').scanSync(join(ROOT, 'ops'))];
    const imports = own
      .map((path) => readFileSync(join(ROOT, 'ops', path), 'utf8'))
      .flatMap((text) => [...text.matchAll(IMPORT)]);
    expect(imports.map((match) => match[1] ?? match[2]).filter((one) => one?.includes('src'))).toEqual([]);
    expect(own.length).toBeGreaterThan(4);
  });
});

/** Each operation states its name in its own file. */
const operationNames = files
  .filter((file) => file.folder === 'operations')
  .flatMap((file) => /^\s+name: '([a-z_]+)',$/m.exec(file.text)?.[1] ?? []);

/** README, the documents for owners, and those next to the code, without what is generated or kept by others. */
const documents = ['README.md', 'CHANGELOG.md', 'ops/INSTALL.md', ...['ops/docs', 'src', 'test'].flatMap(markdownIn)];

function markdownIn(folder: string): string[] {
  return [...new Bun.Glob('**/*.md').scanSync(join(ROOT, folder))].map((path) => join(folder, path)).sort();
}

/** What a heading is called in a link, as forges do it. */
function anchorOf(heading: string): string {
  const text = heading.replaceAll('`', '').replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return text
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\- _]/gu, '')
    .replaceAll(' ', '-');
}

function withoutCode(markdown: string): string {
  return markdown
    .replaceAll(/^```[\s\S]*?^```/gm, '')
    .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()]/g, ''));
}

function anchorsOf(path: string): string[] {
  const text = readFileSync(join(ROOT, path), 'utf8').replaceAll(/^```[\s\S]*?^```/gm, '');
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));
}

describe('the documents', () => {
  test.each(documents)('%s has links that lead somewhere', (path) => {
    const links = [...withoutCode(readFileSync(join(ROOT, path), 'utf8')).matchAll(/\]\(([^)\s]+)\)/g)];
    const dead = links
      .map(([, link = '']) => link)
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => {
        const [file = '', anchor] = link.split('#');
        const to = file === '' ? path : join(dirname(path), file);
        if (!existsSync(join(ROOT, to))) return true;
        return anchor !== undefined && !anchorsOf(to).includes(anchor);
      });
    expect(dead).toEqual([]);
  });

  const forReaders = documents.filter((path) => path !== 'CHANGELOG.md');
  test.each(forReaders)('%s is written in short lines and sentences, and in plain words', (path) => {
    expect(describeFaults(readFileSync(join(ROOT, path), 'utf8'))).toEqual([]);
  });

  test('keep the README short', () => {
    expect(readFileSync(join(ROOT, 'README.md'), 'utf8').split('\n').length).toBeLessThanOrEqual(MAX_README_LINES);
  });
});

describe('the document of the API', () => {
  const api = readFileSync(join(ROOT, 'ops/docs/api.md'), 'utf8');

  test.each(operationNames)('describes the operation %s', (name) => {
    expect(api).toContain(`## \`${name}\``);
  });
});

describe('the pictures of the documents', () => {
  const shown = documents.flatMap((path) =>
    [...readFileSync(join(ROOT, path), 'utf8').matchAll(/<img src="([^"]+)"/g)].map((match) =>
      join(dirname(path), match[1] ?? ''),
    ),
  );

  test('are there, and small', () => {
    expect(shown.length).toBeGreaterThan(0);
    const large = shown.filter((path) => statSync(join(ROOT, path)).size > MAX_PICTURE_BYTES);
    expect(large).toEqual([]);
  });

  test('are all that there is', () => {
    const there = [...new Bun.Glob('ops/pictures/*').scanSync(ROOT)];
    expect(there.sort()).toEqual([...new Set(shown)].sort());
  });
});

describe('the packages', () => {
  test('run no script of their own when they are installed: one of them would report home', () => {
    expect(manifest.trustedDependencies).toEqual([]);
  });
});

describe('the top level', () => {
  test('is the fixed one', () => {
    const { stdout } = Bun.spawnSync(['git', 'ls-files'], { cwd: ROOT });
    const entries = new Set(
      stdout
        .toString()
        .trim()
        .split('\n')
        .map((path) => path.split('/')[0]),
    );
    const allowed =
      'src ops sessions test package.json tsconfig.json bunfig.toml README.md bun.lock .ci .gitignore biome.json LICENSE CHANGELOG.md';
    expect([...entries].filter((entry) => !allowed.split(' ').includes(entry ?? ''))).toEqual([]);
  });
});
