import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { answersWithin, ask } from './harness/installed.ts';
import { bootVm, type Vm } from './harness/vm.ts';

/*
 * Every block of `sh` and `console` of the README and the documents, run in a machine as an owner would: in the order
 * of the documents, with what is named here in the place of names that only an owner has.
 */

const ROOT = join(import.meta.dir, '../..');
const CA = '/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt';
const MAX_NOT_RUN = 10;

interface Block {
  readonly id: string;
  readonly language: string;
  readonly text: string;
  /** Why it is not run here, as the document says above it. */
  readonly left?: string;
}

interface Plan {
  /** A script that runs before: what the reader of the document has. */
  readonly prepare?: string;
  /** Text of the document → what is run instead. */
  readonly instead?: Readonly<Record<string, string>>;
  /** What its output has. */
  readonly shows?: RegExp;
  /** A script that succeeds when the block has done its work; then it is ended. For what runs until it is stopped. */
  readonly until?: string;
  /** Whether a command of it ends with another code than 0. */
  readonly mayFail?: boolean;
  /** Its lines run one by one, each for 3 s at most, and may end with 1 (a finding) as well. */
  readonly isLines?: boolean;
  /** A script that runs afterwards: what follows in the machine. */
  readonly after?: string;
}

const UNPACKED = (arch: string, change = ''): string =>
  `cd /root; rm -rf agent3-VERSION-linux-${arch}; cp -r /opt/bundle agent3-VERSION-linux-${arch}; ${change}
tar -I 'gzip -1' -cf agent3-VERSION-linux-${arch}.tar.gz agent3-VERSION-linux-${arch}; rm -r agent3-VERSION-linux-${arch}`;
const DOMAIN = { 'agent.example.org': 'agent3.localhost' };
const CLONE = 'mkdir -p /root/clone/dist; ln -sf /usr/local/bin/agent3 /root/clone/dist/agent3; cd /root/clone';
const TOKEN = '. /etc/agent3/agent3.env; export AGENT3_API_TOKEN';
const OF_ENV = { '=…': '=$AGENT3_API_TOKEN' };
const LOCAL = { ...OF_ENV, 'https://agent.example.org': 'http://127.0.0.1:5000' };
const WAITING = `printf 'extends = "full"\\n[[rules]]\\naction = "confirm"\\ncommand = "rm"\\n' > /etc/agent3/profiles.d/careful.toml
agent3 token list | grep -q ^asks || agent3 token create asks --profile careful > /root/asks
id=$(curl -s http://127.0.0.1:5000/shell -H "X-Auth-Token: $(cat /root/asks)" -d '{"cmd":"rm /tmp/ap/none"}' | jq -r .session)`;
const APPROVAL: Plan = {
  prepare: `agent3 approval list --json | jq -r '.[].session' | xargs -r -n 1 agent3 approval deny > /dev/null 2>&1; ${WAITING}`,
  // The question is asked on a terminal alone.
  instead: { 'agent3 approval approve 01a20ced': `script -qefc "agent3 approval approve $id" /dev/null <<< y` },
  shows: /command, 1 line, 15 characters:\s+1 │ rm \/tmp\/ap\/none[\s\S]*approved: it runs/,
};
const CONNECT: Plan = {
  instead: { 'agent3 connect': 'script -qefc "agent3 connect" /dev/null < /dev/null' },
  shows: /ChatGPT/,
  until: 'grep -q ChatGPT /root/out',
};
const LINK: Plan = { until: "grep -q '#link=' /root/out", shows: /within 10 minutes, and make a passkey/ };
const LINES: Plan = { isLines: true };

/** Block → how it is run. A block that is not named runs as it is. */
const PLANS: Readonly<Record<string, Plan>> = {
  'README.md 2': { prepare: UNPACKED('x64'), instead: DOMAIN, shows: /URL +https:\/\/agent3\.localhost\// },
  'README.md 4': { prepare: `${CLONE}; export AGENT3_PORT=5002`, until: 'curl -sf http://127.0.0.1:5002/healthz' },
  'README.md 5': { prepare: TOKEN, instead: OF_ENV, shows: /"exit_code":2/ },
  'README.md 6': CONNECT,
  'README.md 7': { after: 'agent3 token revoke asks' },
  'README.md 8': LINK,
  'README.md 9': { ...APPROVAL, shows: /rm \/tmp\/ap\/none/ },
  'access.md 1': {
    prepare: 'agent3 token list | grep -q ^reports && agent3 token revoke reports; true',
    shows: /reports/,
  },
  'access.md 2': {
    prepare: `install -d -o agent3 /srv/app; cat > /etc/agent3/profiles.d/deploy.toml <<'END'\n${exampleProfile()}END`,
    mayFail: true,
    shows: /deny: Remove files one by one/,
  },
  'access.md 3': APPROVAL,
  'access.md 4': { after: 'agent3 thaw' },
  'api.md 1': { prepare: TOKEN, shows: /^\{"stdout":"hi\\n","exit_code":0\}$/m },
  'api.md 2': {
    prepare: `${TOKEN}
SESSION=$(curl -s http://127.0.0.1:5000/ -H "X-Auth-Token: $AGENT3_API_TOKEN" -d '{"op":"shell","args":{"cmd":"echo 1"}}' | jq -r .session)`,
    shows: /event: output[\s\S]*event: end/,
  },
  'audit.md 1': LINES,
  'audit.md 2': { after: 'agent3 audit verify' },
  'cli.md 1': { prepare: TOKEN, instead: LOCAL, mayFail: true, shows: /cannot access[\s\S]*exit code 2/ },
  'cli.md 2': {
    prepare: `cd /root; echo 'echo checked' > check.sh; mkdir -p site; echo page > site/index.html; chown agent3 /srv`,
    instead: {
      "agent3 exec -t 'read": 'script -qefc "agent3 exec -t \'read',
      '; echo "$name"\'': '; echo \\"\\$name\\"\'" /dev/null <<< bob',
      '"Name? "': '\\"Name? \\"',
    },
    shows: /checked[\s\S]*bob[\s\S]*done/,
  },
  'cli.md 3': {
    prepare: `cd /root; echo x > site.tgz; export NODE_EXTRA_CA_CERTS=${CA}; ${TOKEN}`,
    instead: DOMAIN,
    after: 'test -f /srv/site.tgz && test -f /srv/site/index.html && test -f /root/hostname',
  },
  'connect.md 1': CONNECT,
  'connect.md 2': { prepare: `${CLONE}; rm -f .env`, after: 'test -s /root/clone/.env' },
  'connect.md 3': {
    // The installed agent has the port.
    prepare: `${CLONE}; sed -i s/5000/5004/ .env`,
    instead: {
      'serve)': 'serve) &\nuntil curl -sf http://127.0.0.1:5004/healthz; do sleep 0.2; done',
      // Enter takes what it offers, once it asks.
      'exec dist/agent3 connect --client claude-code':
        '(while sleep 0.5; do echo; done) | script -qefc "dist/agent3 connect --client claude-code" /dev/null',
    },
    until: 'grep -q "claude mcp add" /root/out',
    shows: /claude mcp add/,
  },
  'console.md 1': LINK,
  'console.md 2': { prepare: `${CLONE}; export AGENT3_PORT=5003`, ...LINK },
  'files.md 1': {
    prepare: `${TOKEN}; cd /root; echo bytes > data.bin
link() { curl -s http://127.0.0.1:5000/$1 -H "X-Auth-Token: $AGENT3_API_TOKEN" -d '{"path":"/srv/data.bin"}' | jq -r .url; }`,
    instead: {
      "'https://agent.example.org/transfer/…'     # a link of upload": `--cacert ${CA} "$(link upload)"`,
      "'https://agent.example.org/transfer/…'     # a link of download": `--cacert ${CA} "$(link download)"`,
    },
    after: 'cmp /root/data.bin /srv/data.bin',
  },
  'install.md 1': {
    // The executable once more would only take time.
    prepare: UNPACKED('ARCH', 'ln -sf /usr/local/bin/agent3 agent3-VERSION-linux-ARCH/agent3'),
  },
  'install.md 2': { instead: { ...DOMAIN, 'apt-get install caddy': 'command -v caddy' } },
  'install.md 3': { ...LINES, after: 'systemctl enable --now agent3' },
  // The agent writes meanwhile, and tar then says that a file has changed.
  'install.md 4': { prepare: 'cd /root', mayFail: true, after: 'tar -tzf /root/agent3-backup.tar.gz > /dev/null' },
  'install.md 5': {
    prepare: 'cd /opt/bundle; cp /root/agent3-backup.tar.gz .; ./agent3 uninstall --purge; useradd --system another',
    instead: { 'agent3 doctor': 'agent3 doctor || true' },
    shows: /and Agent3 answers[\s\S]*✓ profiles[\s\S]*✓ audit[\s\S]*✓ watchdog/,
    after: 'agent3 token list | grep -q ^reports; ! find /var/lib/agent3 /var/log/agent3 -nouser | grep .',
  },
  'troubleshooting.md 1': LINES,
  'INSTALL.md 1': { prepare: 'cd /root/agent3-VERSION-linux-x64', shows: /Nothing to change/ },
};

const paths = ['README.md', ...documents('ops/docs/*.md'), 'ops/INSTALL.md'];
const blocks = paths.flatMap(blocksOf);
const run = blocks.filter(({ left }) => left === undefined);

/** The profile that the document of access shows. */
function exampleProfile(): string {
  return /^```toml\n([\s\S]*?)^```/m.exec(readFileSync(join(ROOT, 'ops/docs/access.md'), 'utf8'))?.[1] ?? '';
}

function documents(pattern: string): string[] {
  return [...new Bun.Glob(pattern).scanSync(ROOT)].sort();
}

function blocksOf(path: string): Block[] {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const found = [...text.matchAll(/(?:^<!-- (.*) -->\n)?^```(sh|console)\n([\s\S]*?)^```/gm)];
  return found.map(([, left, language = '', code = ''], at) => ({
    id: `${path.split('/').at(-1)} ${at + 1}`,
    language,
    text: code,
    ...(left === undefined ? {} : { left }),
  }));
}

/** The commands of a block: of a console those behind the prompt. */
function commandsOf({ language, text }: Block): string {
  if (language === 'sh') return text;
  return text
    .split('\n')
    .flatMap((line) => (line.startsWith('$ ') ? [line.slice(2)] : []))
    .join('\n');
}

describe('the blocks of the documents', () => {
  test('are run but for a few, each with its reason', () => {
    const notRun = blocks.flatMap(({ left }) => (left?.startsWith('no-run: ') ? [left] : []));
    expect(notRun.length).toBeLessThanOrEqual(MAX_NOT_RUN);
    const ids = run.map(({ id }) => id);
    expect(Object.keys(PLANS).filter((id) => !ids.includes(id))).toEqual([]);
  });

  test('in Spanish are those in English', () => {
    const plain = (text: string): string[] => text.split('\n').map((line) => line.replace(/\s+#.*|\$ /, '').trim());
    const english = new Set(blocks.flatMap((block) => plain(commandsOf(block))));
    const own = documents('ops/docs/es/*.md').flatMap(blocksOf);
    expect(own.flatMap((block) => plain(commandsOf(block))).filter((line) => !english.has(line))).toEqual([]);
  });
});

describeVm('the documents', () => {
  let vm: Vm;
  beforeAll(async () => {
    vm = await bootVm({ needs: 'container', files: BUNDLE });
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test.each(run.map((block) => [block.id, block] as const))(
    '%s',
    async (id, block) => {
      const { prepare = '', instead = {}, shows, until, isLines, mayFail = false, after = '' } = PLANS[id] ?? {};
      const commands = Object.entries(instead).reduce(
        (text, [from, to]) => text.replaceAll(from, to),
        commandsOf(block),
      );
      await vm.sh(
        `cat > /root/block <<'END-OF-BLOCK'\nsudo() { "$@"; }\n${prepare}\n${isLines ? oneByOne(commands) : `${mayFail ? '' : 'set -e'}\n${commands}`}\nEND-OF-BLOCK`,
      );
      // What the last block left running still writes: into its own file, not over this one's output.
      const start = 'rm -f /root/out; setsid bash /root/block > /root/out 2>&1 < /dev/null';
      const { stdout: output, code } = await vm.run(
        until === undefined
          ? `${start}; code=$?; cat /root/out; exit $code`
          : `${start} & for _ in $(seq 120); do (${until}) > /dev/null 2>&1 && break; sleep 0.5; done; (${until}) > /dev/null; code=$?
kill -- -$!; cat /root/out; exit $code`,
        180,
      );
      if (!mayFail) expect({ code, output }).toEqual({ code: 0, output });
      if (shows !== undefined) expect(output).toMatch(shows);
      await vm.sh(after);
      if (/install|systemctl/.test(commands)) await answersWithin(vm, 60);
    },
    240_000,
  );

  test('leave an agent that works', async () => {
    expect((await ask(vm, 'shell', { cmd: 'echo well' })).body).toMatchObject({ stdout: 'well\n' });
  });
});

function oneByOne(commands: string): string {
  const lines = commands.split('\n').filter((line) => line.trim() !== '');
  return lines
    .map(
      (line) =>
        `timeout 60 bash -c ${quoted(`${line.replace(/^sudo /, '').replace(/ -f$/, ' -f & sleep 3; kill $!')}`)} || test $? = 1`,
    )
    .join(' && ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
