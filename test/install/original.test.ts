import { describe, expect, test } from 'bun:test';
import { readOriginal } from '../../src/install/original.ts';

const read =
  (files: Readonly<Record<string, string>>) =>
  (path: string): string | undefined =>
    files[path];

describe('the original agent', () => {
  test('is found with everything that its clients know of it', () => {
    const unit = `[Service]
WorkingDirectory=/opt/agent3
EnvironmentFile=-/etc/default/agent3
ExecStart=/usr/bin/python3 /opt/agent3/agent.py
StandardOutput=append:/var/log/agent3.out
StandardError=append:/var/log/agent3.err
`;
    const files = {
      '/opt/agent3/.env': 'AGENT3_API_TOKEN="its-token-of-old"\nAGENT3_TOKEN=other\n',
      '/opt/agent3/agent.py': 'app.run(host="0.0.0.0", port=5001)',
    };
    expect(readOriginal(unit, read(files))).toEqual({
      token: { value: 'its-token-of-old', from: 'AGENT3_API_TOKEN', others: [] },
      host: '0.0.0.0',
      port: 5001,
      logs: ['/var/log/agent3.out', '/var/log/agent3.err'],
      user: 'root',
      script: '/opt/agent3/agent.py',
    });
  });

  const units: readonly [what: string, lines: string, files: Record<string, string>, found: object][] = [
    [
      'gunicorn',
      'ExecStart=/opt/venv/bin/gunicorn --bind 127.0.0.1:8000 \\\n  app:app\nEnvironment="AGENT3_API_TOKEN=from-the-unit" OTHER=x',
      {},
      { token: { value: 'from-the-unit' }, host: '127.0.0.1', port: 8000 },
    ],
    ['gunicorn on a port of every address', 'ExecStart=gunicorn -b :8001 app:app', {}, { host: undefined, port: 8001 }],
    ['flask run', 'ExecStart=/usr/bin/flask run --host 0.0.0.0 --port 9000', {}, { host: '0.0.0.0', port: 9000 }],
    [
      'a file of settings with a port',
      'EnvironmentFile=/etc/agent3.env\nExecStart=python3 /srv/a.py',
      { '/etc/agent3.env': 'export AGENT3_PORT=5055\nAGENT3_API_TOKEN=abc' },
      { token: { value: 'abc' }, port: 5055 },
    ],
    [
      'a .env next to its script',
      'ExecStart=/usr/bin/python3 -u /srv/agent/a.py',
      { '/srv/agent/.env': "AGENT3_API_TOKEN='quoted'" },
      { token: { value: 'quoted' }, port: undefined },
    ],
  ];
  test.each(units)('is read from the unit of %s', (_what, lines, files, found) => {
    expect(readOriginal(`[Service]\n${lines}\n`, read(files))).toMatchObject(found);
  });

  const HEADER = "if request.headers.get('X-Auth-Token') != TOKEN: abort(401)";
  const tokens: readonly [
    what: string,
    files: Record<string, string>,
    lines: string,
    value: string | undefined,
    from?: string,
  ][] = [
    ...[
      'API_TOKEN',
      'AUTH_TOKEN',
      'AGENT_TOKEN',
      'X_AUTH_TOKEN',
      'TOKEN',
      'SECRET_TOKEN',
      'GPT_TOKEN',
      'FLASK_API_TOKEN',
      'MY_AGENT_API_KEY',
    ].map((name): [string, Record<string, string>, string, string, string] => [
      name,
      { '.env': `${name}=a-token` },
      '',
      'a-token',
      name,
    ]),
    ['quotes, export and a comment', { '.env': 'export API_TOKEN="a token" # mine\n' }, '', 'a token'],
    ['a comment without quotes', { '.env': "API_TOKEN=a#token   # mine\nX='y'\n" }, '', 'a#token'],
    ['a line that is commented out', { '.env': '#API_TOKEN=old\nAPI_TOKEN=a-token\n' }, '', 'a-token'],
    ['several words in the unit', {}, 'Environment=A=b "API_TOKEN=a-token" C=d', 'a-token'],
    ['quotes behind the name', {}, "Environment=API_TOKEN='a-token'", 'a-token'],
    ['the unit before .env', { '.env': 'API_TOKEN=other' }, 'Environment=API_TOKEN=a-token', 'a-token'],
    [
      'a file of the unit before its variables',
      { 'x.env': 'API_TOKEN=a-token' },
      'Environment=API_TOKEN=other\nEnvironmentFile=-/opt/a/x.env',
      'a-token',
    ],
    ['none but the key of cookies', { '.env': 'SECRET_KEY=cookie\nFLASK_SECRET_KEY=cookie' }, '', undefined],
    [
      'what the program compares',
      { '.env': 'API_TOKEN=other\nKEY_OF_GPT=a-token', 'a.py': `TOKEN = os.environ["KEY_OF_GPT"]\n${HEADER}` },
      '',
      'a-token',
      'KEY_OF_GPT',
    ],
    [
      'a read in place',
      { '.env': 'TOKEN=other\nGPT_SECRET=a-token', 'a.py': "if auth != os.getenv('GPT_SECRET'): abort(401)" },
      '',
      'a-token',
      'GPT_SECRET',
    ],
    [
      'compare_digest over lines',
      {
        '.env': 'OTHER_TOKEN=o\nMINE=a-token',
        'a.py': "WANT = os.environ.get('MINE', '')\nif not hmac.compare_digest(\n    given,\n    WANT,\n):",
      },
      '',
      'a-token',
      'MINE',
    ],
    ['a default', { 'a.py': `TOKEN = os.getenv("API_TOKEN", "a-token")\n${HEADER}` }, '', 'a-token'],
    ['its program itself', { 'a.py': `TOKEN = "a-token"\n${HEADER}` }, '', 'a-token', 'TOKEN in its program'],
    [
      'a module that it imports',
      { 'a.py': 'from config import TOKEN', 'config.py': 'TOKEN: str = "a-token"\nif x == TOKEN: pass' },
      '',
      'a-token',
    ],
    [
      'a file that it reads',
      { 'a.py': `TOKEN = open("/opt/a/token").read().strip()\n${HEADER}`, token: 'a-token\n' },
      '',
      'a-token',
      '/opt/a/token',
    ],
    [
      'a .env that it names',
      { 'a.py': 'load_dotenv("conf/agent.env")', 'conf/agent.env': 'API_TOKEN=a-token' },
      '',
      'a-token',
    ],
    [
      'no comparison of something else',
      {
        '.env': 'API_TOKEN=a-token',
        'a.py': 'MODE = os.environ["MODE"]\nif MODE == "x": pass\nif __name__ == "__main__": app.run()',
      },
      '',
      'a-token',
    ],
  ];
  for (const [what, files, lines, value, from] of tokens) {
    test(`has its token found: ${what}`, () => {
      const unit = `[Service]\nWorkingDirectory=/opt/a\nExecStart=/usr/bin/python3 a.py\n${lines}\n`;
      const at = Object.fromEntries(Object.entries(files).map(([name, text]) => [`/opt/a/${name}`, text]));
      const token = readOriginal(unit, read(at))?.token;
      expect(token?.value).toBe(value as string);
      if (from !== undefined) expect(token?.from).toBe(from);
    });
  }

  test('names what else its token may be', () => {
    const unit = '[Service]\nExecStart=/usr/bin/python3 /opt/a/a.py\n';
    const files = { '/opt/a/.env': 'AUTH_TOKEN=one\nGPT_TOKEN=two\nSAME_TOKEN=one\n' };
    expect(readOriginal(unit, read(files))?.token).toEqual({ value: 'one', from: 'AUTH_TOKEN', others: ['GPT_TOKEN'] });
  });

  const users: readonly [lines: string, user: string | undefined][] = [
    ['', 'root'],
    ['User=ubuntu', 'ubuntu'],
    ['User=ubuntu\nUser=', 'root'],
    ['DynamicUser=yes\nUser=x', undefined],
  ];
  test.each(users)('ran as the user of its unit: %j', (lines, user) => {
    expect(readOriginal(`[Service]\nExecStart=python3 /a.py\n${lines}\n`, read({}))?.user).toBe(user as string);
  });

  const starts: readonly [what: string, unit: string, files: Record<string, string>][] = [
    ['by env', 'ExecStart=/usr/bin/env API_TOKEN=a-token PORT=5050 python3 /opt/a/app.py', {}],
    [
      'by a prefix of systemd',
      'ExecStart=-/usr/bin/python3 /opt/a/app.py',
      { '/opt/a/.env': 'API_TOKEN=a-token\nPORT=5050' },
    ],
    ['as a program of its own', 'ExecStart=/opt/a/app.py', { '/opt/a/.env': 'API_TOKEN=a-token\nPORT=5050' }],
    [
      'by a script',
      'ExecStart=/bin/bash /opt/a/run.sh',
      {
        '/opt/a/run.sh': '#!/bin/bash\ncd /opt/a\nexport API_TOKEN="a-token"\nPORT=5050 exec python3 app.py\n',
        '/opt/a/app.py': '',
      },
    ],
    [
      'by a script that reads a file',
      'ExecStart=/opt/a/run.sh',
      {
        '/opt/a/run.sh': '#!/usr/bin/env bash\ncd /opt/a && . ./.env && gunicorn -b :5050 app:app\n',
        '/opt/a/.env': 'API_TOKEN=a-token',
        '/opt/a/app.py': '',
      },
    ],
  ];
  test.each(starts)('is known when it is started %s', (_what, unit, files) => {
    expect(readOriginal(`[Service]\n${unit}\n`, read(files))).toMatchObject({
      token: { value: 'a-token' },
      port: 5050,
      script: '/opt/a/app.py',
    });
  });

  test('is not what runs no Python', () => {
    expect(readOriginal('[Service]\nExecStart=/usr/local/bin/other-agent3\n', read({}))).toBeUndefined();
    const script = { '/opt/x.sh': '#!/bin/sh\n# not python\nexec node server.js' };
    expect(readOriginal('[Service]\nExecStart=/opt/x.sh\n', read(script))).toBeUndefined();
  });
});
