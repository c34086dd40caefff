/** The password of job 5: awkward to quote. */
export const PASSWORD = `Tr0ub"4dor'&3 $HOME`;

/** The file of job 7: awkward to quote. */
export const CRON = `MAILTO="ops@example.org"
5 4 * * 1 www-data /usr/local/bin/report --since "$(date -d 'last monday' +\\%F)" --to 'C:\\new\\%u' >> /var/log/report.log 2>&1
`;

/** The configuration of job 2, and what somebody made of it. */
export const CONFIG = configuration('8');
export const BROKEN_CONFIG = configuration('8x');

function configuration(workers: string): string {
  const names = ['cache', 'mail', 'search', 'payment', 'images', 'export', 'reports', 'sessions'];
  const lines = names.flatMap((name, at) => [
    `# ${name}`,
    `${name}_host = ${name}.internal.example.org`,
    `${name}_port = ${4000 + at}`,
    `${name}_timeout_seconds = ${10 + at}`,
    `${name}_retries = ${at}`,
    '',
  ]);
  const middle = 30;
  return `${[...lines.slice(0, middle), `workers = ${workers}`, '', ...lines.slice(middle)].join('\n')}\n`;
}

/** A site of job 11. */
export function site(name: string, port: number, directory: string): string {
  return `server {
    listen ${port};
    server_name ${name}.example.org;
    root /srv/${name}/${directory};
    access_log /var/log/nginx/${name}.access.log;
    location / {
        try_files $uri $uri/ =404;
    }
}
`;
}

const REQUESTS = 20_000;
const PATHS = ['/', '/cart', '/article/17', '/wp-login.php', '/images/logo.png', '/api/orders', '/.env'];

interface Request {
  readonly address: string;
  readonly path: string;
  readonly status: number;
}

/** The requests of job 1: always the same. */
function* requests(): Generator<Request> {
  let state = 20_261_129;
  const next = (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
  for (let count = 0; count < REQUESTS; count++) {
    // Low numbers come more often.
    const address = `203.0.113.${Math.min(next(120), next(120), next(120)) + 1}`;
    const path = PATHS[next(PATHS.length)] ?? '/';
    const isMissing = path === '/wp-login.php' || path === '/.env';
    yield { address, path, status: isMissing ? 404 : ([200, 200, 200, 304, 500][next(5)] ?? 200) };
  }
}

/** The log of job 1. */
export function accessLog(): string {
  const lines = [...requests()].map(({ address, path, status }, at) => {
    const time = `28/Nov/2026:${String(Math.floor(at / 900)).padStart(2, '0')}:${String(Math.floor(at / 15) % 60).padStart(2, '0')}:${String(at % 60).padStart(2, '0')} +0000`;
    return `${address} - - [${time}] "GET ${path} HTTP/1.1" ${status} ${at % 5000} "-" "Mozilla/5.0"`;
  });
  return `${lines.join('\n')}\n`;
}

/** The three addresses with the most answers 404, with their counts. */
export function mostMissed(): readonly (readonly [address: string, count: number])[] {
  const counts = new Map<string, number>();
  for (const { address, status } of requests()) if (status === 404) counts.set(address, (counts.get(address) ?? 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one).slice(0, 3);
}
