import type { FakeServer } from './server.ts';
import { accessLog, BROKEN_CONFIG, CONFIG, CRON, mostMissed, PASSWORD, site } from './texts.ts';

/** One job of an owner. */
export interface Job {
  /** What the owner asks for; `R` is the directory used as his server, `L` the one used as the player's machine. */
  readonly ask: string;
  /** A program of the server that runs from the beginning. */
  readonly running?: string;
  prepare(server: FakeServer, local: FakeServer): void;
  /** Whether the server is as it should be, and the player's line says what was asked. */
  isDone(server: FakeServer, answer: string, local: FakeServer): boolean;
}

export const says = (answer: string, ...words: readonly string[]): boolean =>
  words.every((word) => answer.includes(word));

const visitors: Job = {
  ask: 'Which three addresses caused the most answers with status 404 in R/var/log/nginx/access.log, and how many each?',
  prepare: (server) => server.write('var/log/nginx/access.log', accessLog()),
  isDone: (_server, answer) => says(answer, ...mostMissed().flat().map(String)),
};

const configuration: Job = {
  ask: 'The shop does not start since somebody edited R/etc/shop/shop.conf; R/bin/shop-check says whether it would. Mend the wrong value (we have always had 8 workers) and leave every other line as it is. What was wrong?',
  prepare: (server) => {
    server.write('etc/shop/shop.conf', BROKEN_CONFIG);
    server.program(
      'shop-check',
      `line=$(grep -n '^workers = ' "$R/etc/shop/shop.conf")
case "\${line##* }" in (*[!0-9]*) echo "shop.conf, line \${line%%:*}: workers is not a number" >&2; exit 1; esac
echo "shop.conf is good"
`,
    );
  },
  isDone: (server, answer) => server.read('etc/shop/shop.conf') === CONFIG && says(answer, 'workers'),
};

const disk: Job = {
  ask: 'What are the three largest files below R/var? And delete the rotated logs R/var/log/shop/shop.log.N.gz that are older than 30 days, no others. How many were they?',
  prepare: (server) => {
    for (const [name, mib] of [
      ['var/lib/mysql/ibdata1', 12],
      ['var/cache/apt/pkgcache.bin', 9],
      ['var/tmp/core.4711', 7],
      ['var/lib/mysql/ib_logfile0', 5],
    ] as const)
      server.write(name, 'x'.repeat(mib * 1_048_576));
    server.write('var/log/shop/shop.log', 'shop started\n');
    for (let number = 1; number <= 40; number++) {
      const name = `var/log/shop/shop.log.${number}.gz`;
      server.write(name, `log ${number}\n`);
      server.age(name, number * 2 - 0.5);
    }
    server.write('var/log/shop/archive.log.gz', 'keep\n');
    server.age('var/log/shop/archive.log.gz', 400);
  },
  isDone: (server, answer) =>
    says(answer, 'ibdata1', 'pkgcache.bin', 'core.4711', '25') &&
    server.has('var/log/shop/archive.log.gz') &&
    server.has('var/log/shop/shop.log.15.gz') &&
    !server.has('var/log/shop/shop.log.16.gz') &&
    !server.has('var/log/shop/shop.log.40.gz'),
};

const build: Job = {
  ask: 'Build the site with R/bin/build-site; it takes a good minute. Which checksum does it print at the end?',
  prepare: (server) =>
    server.program(
      'build-site',
      `for page in $(seq 70); do echo "page $page of 70 rendered"; sleep 1; done
sum=$(echo "$R $$ $RANDOM" | sha256sum | cut -c1-12)
mkdir -p "$R/var/lib/site" && echo "$sum" >> "$R/var/lib/site/builds"
echo "site built, checksum $sum"
`,
    ),
  isDone: (server, answer) => {
    const builds = server.read('var/lib/site/builds').trim();
    return builds !== '' && says(answer, builds);
  },
};

const user: Job = {
  ask: `Add the user anna to the shop with R/bin/add-user: role editor, password ${PASSWORD}. Which number did she get?`,
  prepare: (server) =>
    server.program(
      'add-user',
      `[ -t 0 ] || { echo 'add-user: run me in a terminal' >&2; exit 2; }
read -rp 'Name: ' name
read -rp 'Role (reader, editor, admin): ' role
read -rsp 'Password: ' one; echo
read -rsp 'The same again: ' two; echo
[ "$one" = "$two" ] || { echo 'The passwords are not the same.' >&2; exit 1; }
number=$((1000 + RANDOM % 9000))
mkdir -p "$R/var/lib/shop" && echo "$name:$role:$one:$number" >> "$R/var/lib/shop/users"
echo "User $name was added with the number $number."
`,
    ),
  isDone: (server, answer) => {
    const [name, role, password, number = 'none'] = server.read('var/lib/shop/users').trim().split(':');
    return name === 'anna' && role === 'editor' && password === PASSWORD && says(answer, number);
  },
};

const orders: Job = {
  ask: 'Run R/bin/import-orders, once only: a second run would book everything twice. How many orders were refused, which was the first, and why?',
  prepare: (server) =>
    server.program(
      'import-orders',
      `mkdir -p "$R/var/lib/shop" && echo run >> "$R/var/lib/shop/imports"
for order in $(seq 10001 16000); do
  echo "order $order: read, checked, booked to account $((order * 37 % 9000)), mail queued"
  [ $((order % 25)) = 13 ] && echo "order $order refused: article A-$((order % 400)) is not for sale" >&2
done
echo 'import finished'
`,
    ),
  isDone: (server, answer) =>
    server.read('var/lib/shop/imports') === 'run\n' && says(answer, '240', '10013', 'not for sale'),
};

const cron: Job = {
  ask: `Write R/etc/cron.d/report with exactly these two lines, readable by all:\n\n${CRON}`,
  prepare: (server) => server.write('etc/cron.d/backup', '0 3 * * * root /usr/local/bin/backup\n'),
  isDone: (server) => server.read('etc/cron.d/report') === CRON && server.mode('etc/cron.d/report') === 0o644,
};

const backup: Job = {
  ask: 'R/bin/backup has hung since this morning and says nothing. Find out what is in the way. If it is only the nightly report, stop that, and run the backup to its end. What held it up, and what does the backup print at its end?',
  running: 'bin/nightly-report',
  prepare: (server) => {
    server.program(
      'backup',
      `mkdir -p "$R/var/lock"; exec 9> "$R/var/lock/backup.lock"
flock 9
sleep 2; echo done > "$R/var/lib/backup.stamp"
echo "backup finished, $((7 * 191)) files"
`,
    );
    server.program(
      'nightly-report',
      `exec 9> "$R/var/lock/backup.lock"\nflock 9\nexec -a "$R/bin/nightly-report" sleep 86400\n`,
    );
    server.write('var/lock/backup.lock', '');
    server.write('var/lib/README', 'state of programs\n');
  },
  isDone: (server, answer) => server.has('var/lib/backup.stamp') && says(answer, 'nightly-report', '1337'),
};

const service: Job = {
  ask: 'Start R/bin/shopd so that it keeps running when you have gone. Which ticket number does it print when it is ready?',
  prepare: (server) =>
    server.program(
      'shopd',
      `mkdir -p "$R/var/run"; echo $$ > "$R/var/run/shopd.pid"
echo 'shopd: reading the catalogue'; sleep 6
ticket=$((10000 + RANDOM)); echo "$ticket" > "$R/var/run/shopd.ticket"
echo "shopd: ready, ticket $ticket"
while sleep 5; do date +%s > "$R/var/run/shopd.alive"; done
`,
    ),
  isDone: (server, answer) =>
    server.runs('var/run/shopd.pid') && says(answer, server.read('var/run/shopd.ticket').trim() || 'none'),
};

const migration: Job = {
  ask: 'Bring the database of the shop up to date with R/bin/migrate. If a step fails, put right what it needs and continue. Which schema does it have then?',
  prepare: (server) => {
    server.write('var/lib/shop/step', '0\n');
    server.program(
      'migrate',
      `for step in 1 2 3 4; do
  [ "$(cat "$R/var/lib/shop/step")" -ge "$step" ] && continue
  echo "step $step of 4 …"; sleep 4
  [ "$step" != 3 ] || [ -d "$R/var/lib/shop/archive" ] || { echo "step 3: the directory $R/var/lib/shop/archive is missing" >&2; exit 3; }
  echo "$step" > "$R/var/lib/shop/step"
done
echo 'the schema is 2026.11-r4'
`,
    );
  },
  isDone: (server, answer) => server.read('var/lib/shop/step') === '4\n' && says(answer, '2026.11-r4'),
};

const SITES = ['admin', 'api', 'blog', 'cdn', 'docs', 'forum', 'mail', 'old', 'shop', 'status', 'wiki', 'www'] as const;

const sites: Job = {
  ask: 'R/etc/nginx/sites-enabled has copies of R/etc/nginx/sites-available. Which are not the same, and in what do they differ? Which are not enabled?',
  prepare: (server) => {
    for (const name of SITES) {
      server.write(`etc/nginx/sites-available/${name}.conf`, site(name, 8080, 'html'));
      const port = name === 'shop' ? 8081 : 8080;
      const directory = name === 'blog' ? 'blog-2019' : 'html';
      if (name !== 'old') server.write(`etc/nginx/sites-enabled/${name}.conf`, site(name, port, directory));
    }
  },
  isDone: (_server, answer) => says(answer, 'shop', '8081', 'blog', 'blog-2019', 'old'),
};

const OPEN_SECRETS = ['etc/shop/database.ini', 'etc/mail/relay.cf', 'etc/backup/target.env'] as const;

const secrets: Job = {
  ask: 'Which files below R/etc have a line with "password" in them and can be read by everybody? Let only their owner read and write those; change no other file. Name them, without the passwords.',
  prepare: (server) => {
    for (const [at, name] of OPEN_SECRETS.entries())
      server.write(name, `host = db${at}.example.org\npassword = Xy${at}-not-told\n`);
    server.write('etc/shop/closed.ini', 'password = Zz-not-told\n', 0o600);
    server.write('etc/shop/colours.ini', 'background = white\n');
  },
  isDone: (server, answer) =>
    OPEN_SECRETS.every((name) => server.mode(name) === 0o600) &&
    server.mode('etc/shop/colours.ini') === 0o644 &&
    says(answer, 'database.ini', 'relay.cf', 'target.env') &&
    !says(answer, 'not-told'),
};

/** The twelve, in the order in which they are asked for. */
export const JOBS: readonly Job[] = [
  visitors,
  configuration,
  disk,
  build,
  user,
  orders,
  cron,
  backup,
  service,
  migration,
  sites,
  secrets,
];
