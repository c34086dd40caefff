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
      token: 'its-token-of-old',
      host: '0.0.0.0',
      port: 5001,
      logs: ['/var/log/agent3.out', '/var/log/agent3.err'],
    });
  });

  const units: readonly [what: string, lines: string, files: Record<string, string>, found: object][] = [
    [
      'gunicorn',
      'ExecStart=/opt/venv/bin/gunicorn --bind 127.0.0.1:8000 \\\n  app:app\nEnvironment="AGENT3_API_TOKEN=from-the-unit" OTHER=x',
      {},
      { token: 'from-the-unit', host: '127.0.0.1', port: 8000 },
    ],
    ['gunicorn on a port of every address', 'ExecStart=gunicorn -b :8001 app:app', {}, { host: undefined, port: 8001 }],
    ['flask run', 'ExecStart=/usr/bin/flask run --host 0.0.0.0 --port 9000', {}, { host: '0.0.0.0', port: 9000 }],
    [
      'a file of settings with a port',
      'EnvironmentFile=/etc/agent3.env\nExecStart=python3 /srv/a.py',
      { '/etc/agent3.env': 'export AGENT3_PORT=5055\nAGENT3_API_TOKEN=abc' },
      { token: 'abc', port: 5055 },
    ],
    [
      'a .env beside its script',
      'ExecStart=/usr/bin/python3 -u /srv/agent/a.py',
      { '/srv/agent/.env': "AGENT3_API_TOKEN='quoted'" },
      { token: 'quoted', port: undefined },
    ],
  ];
  test.each(units)('is read from the unit of %s', (_what, lines, files, found) => {
    expect(readOriginal(`[Service]\n${lines}\n`, read(files))).toMatchObject(found);
  });

  test('is not what runs no Python', () => {
    expect(readOriginal('[Service]\nExecStart=/usr/local/bin/other-agent3\n', read({}))).toBeUndefined();
  });
});
