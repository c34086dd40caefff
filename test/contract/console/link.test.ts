import { describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { writePasskeys } from '../../../src/console/passkeys.ts';
import { consoleTunnel } from '../../../src/install/console-settings.ts';
import { BASE_ENVIRONMENT, BINARY } from '../../helpers/binary.ts';
import { agent3 } from '../../helpers/cli.ts';
import { ConsoleFiles } from '../../helpers/console.ts';
import { LinkTerminal } from '../../helpers/console-server.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';

const QR = /[▀▄█]{5}/;

describe.skipIf(process.geteuid?.() !== 0)('agent3 console link', () => {
  /** What it shows where an agent is installed with this console, until it waits or ends. */
  const installed = async (console: string | null, origin: string): Promise<string> => {
    using place = new TemporaryDirectory();
    const etc = place.join('agent3');
    mkdirSync(etc);
    const manifest = {
      version: '0',
      files: {},
      user: 'root',
      watchdog: 'none',
      domain: null,
      oldLogs: [],
      packaged: false,
    };
    writeFileSync(`${etc}/install.json`, JSON.stringify({ ...manifest, console }));
    writeFileSync(`${etc}/console.env`, `AGENT3_CONSOLE_KEY=${'k'.repeat(40)}\nAGENT3_CONSOLE_ORIGIN=${origin}\n`);
    const walls = [
      '--die-with-parent',
      '--dev-bind',
      '/',
      '/',
      '--tmpfs',
      '/etc',
      '--bind',
      etc,
      '/etc/agent3',
      '--tmpfs',
      '/run',
    ];
    const child = Bun.spawn(['bwrap', ...walls, BINARY, 'console', 'link'], {
      env: BASE_ENVIRONMENT,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let shown = '';
    for await (const bytes of child.stdout) {
      shown += new TextDecoder().decode(bytes);
      if (shown.includes('Ctrl-C cancels')) child.kill();
    }
    return shown + (await child.stderr.text());
  };

  test('names the way to a console without a domain, and shows no code that a phone could not follow', async () => {
    const shown = await installed('http://localhost:8443', 'http://localhost:8443');
    expect(shown).toStartWith(
      'First, on your computer: ssh -L 8443:/run/agent3-console.sock root@SERVER\n\nhttp://localhost:8443/#link=',
    );
    expect(shown).not.toMatch(QR);
    const other = await installed('https://a.example:8443', 'https://a.example:8443');
    expect(other).toMatch(QR);
    expect(other).not.toContain('ssh -L');
  });

  test('makes no link to a console that the installation has left out', async () => {
    expect(await installed(null, 'https://a.example:8443')).toBe(
      'agent3: the console is not installed. To add it: sudo agent3 install --console\n',
    );
  });

  test('of an agent that was started by hand is opened on this machine', async () => {
    using files = new ConsoleFiles(0);
    const settings = { ...files.settings, AGENT3_CONSOLE_ORIGIN: 'http://localhost:5001' };
    const terminal = new LinkTerminal(settings);
    await terminal.url();
    expect(terminal.shown).not.toMatch(QR);
    expect(terminal.shown).toContain('Open it in a browser on this machine');
    terminal.type('\x03');
    expect(await terminal.exited).toBe(1);
  });
});

test('agent3 console remove lists what it removed: passkey and session of one name', async () => {
  using files = new ConsoleFiles(process.geteuid?.());
  const passkey = await files.phone.passkey();
  const session = { bearer_sha256: 'a'.repeat(64), name: passkey.name, until: Date.now() + 3_600_000 };
  const { origin, rpId: rp_id } = files.phone;
  writePasskeys(files.passkeysFile, { origin, rp_id, passkeys: [passkey], sessions: [session] });
  const { code, stdout } = await agent3(['console', 'remove', passkey.name], files.settings);
  expect(code).toBe(0);
  expect(stdout).toContain(`removed ${passkey.name}, the passkey ${passkey.fingerprint}\n`);
  expect(stdout).toMatch(new RegExp(`removed ${passkey.name}, without a passkey, until 20.* UTC\n`));
});

test.each([
  ['http://localhost:8443', 'ssh -L 8443:/run/agent3-console.sock root@SERVER'],
  ['http://127.0.0.1/', 'ssh -L 80:/run/agent3-console.sock root@SERVER'],
  ['https://agent.example.org:8443', undefined],
])('the way to %s', (url, way) => {
  expect(consoleTunnel(url)).toBe(way);
});
