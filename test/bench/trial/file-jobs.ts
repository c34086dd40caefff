import {
  CHANGED_SHOPS,
  DUMP,
  HTTPS_PARTNERS,
  NEW_FORMAT,
  NEW_RULE,
  PARTNERS,
  PLACES,
  RELAY_PASSWORD,
  SETUP_RELAY,
  SHOPS,
} from './file-texts.ts';
import { type Job, says } from './jobs.ts';
import { putWheels, stock, TOTAL } from './wheels.ts';

const hash = (bytes: Uint8Array): string => new Bun.CryptoHasher('sha256').update(bytes).digest('hex');

const shops: Job = {
  ask: `In R/etc/nginx/conf.d/shops.conf, change two lines, and no other byte. The second line of log_format shop becomes

    ${NEW_FORMAT}

and in the server www.example.org, the line that begins with if becomes

    ${NEW_RULE}

Both keep the blanks or tabs before them. Which numbers do the two lines have?`,
  prepare: (server) => server.write('etc/nginx/conf.d/shops.conf', SHOPS),
  isDone: (server, answer) => {
    const lines = CHANGED_SHOPS.split('\n');
    const numberOf = (text: string): string => String(lines.findIndex((line) => line.trim() === text) + 1);
    return (
      server.read('etc/nginx/conf.d/shops.conf') === CHANGED_SHOPS &&
      says(answer, numberOf(NEW_FORMAT), numberOf(NEW_RULE))
    );
  },
};

const places: Job = {
  ask: 'Put my file L/places.mmdb on the server, in the place of R/var/lib/geo/places.mmdb. Which SHA-256 does it have there?',
  prepare: (server, local) => {
    server.write('var/lib/geo/places.mmdb', PLACES.subarray(0, 90_000));
    local.write('places.mmdb', PLACES);
  },
  isDone: (server, answer) => server.sha256('var/lib/geo/places.mmdb') === hash(PLACES) && says(answer, hash(PLACES)),
};

const dump: Job = {
  ask: 'Bring me the dump R/var/backups/shop-2026-11-28.sql.gz as L/shop.sql.gz, and make sure that no byte is wrong. Which SHA-256 has it?',
  prepare: (server) => {
    server.write('var/backups/shop-2026-11-27.sql.gz', DUMP.subarray(0, 600_000));
    server.write('var/backups/shop-2026-11-28.sql.gz', DUMP);
  },
  isDone: (_server, answer, local) => local.sha256('shop.sql.gz') === hash(DUMP) && says(answer, hash(DUMP)),
};

const relay: Job = {
  ask: `Set up the mail relay with R/bin/setup-relay: host mail.example.net, port 587, user shop, password \`${RELAY_PASSWORD}\`, and no test message. Trust its key only if it ends in 7c:21. Which number does it print?`,
  prepare: (server) => {
    server.write('etc/mail/README', 'setup-relay writes relay.ini\n');
    server.python('setup-relay', SETUP_RELAY);
  },
  isDone: (server, answer) => {
    const [host, port, user, password, number = 'none'] = server.read('etc/mail/relay.ini').split('\n');
    const isRight = host === 'mail.example.net' && port === '587' && user === 'shop' && password === RELAY_PASSWORD;
    return isRight && says(answer, number);
  },
};

const count: Job = {
  ask: 'Count the stock. Make a Python virtual environment R/srv/stock/venv and install kontor-stock in it from the wheels in R/opt/wheels: there is no package index to be reached. Then run kontor-stock begin in R/srv/stock, and step by step what it asks for, to the end. How many pieces are there?',
  prepare: (server) => {
    putWheels(server, 'opt/wheels');
    server.write('srv/stock/stock.csv', stock());
    server.write('var/lib/stock/README', 'state of kontor-stock\n');
  },
  isDone: (server, answer) => {
    const [, total, environment] = server.read('var/lib/stock/finished').trim().split(' ');
    return total === String(TOTAL) && environment === server.path('srv/stock/venv') && says(answer, total);
  },
};

const partners: Job = {
  ask: 'In R/etc/shop/partners.ini, let every address begin with https://, and run R/bin/partners-check. If it does not agree, put the file back exactly as it was. What does it say?',
  prepare: (server) => {
    server.write('etc/shop/partners.ini', PARTNERS, 0o640);
    server.program(
      'partners-check',
      `mkdir -p "$R/var/lib/shop" && sha256sum < "$R/etc/shop/partners.ini" >> "$R/var/lib/shop/partners-checks"
grep -q 'url = https://legacy' "$R/etc/shop/partners.ini" || { echo 'partners.ini is good'; exit 0; }
echo 'partners.ini: legacy.example.net has no certificate until 2027: leave the file as it was' >&2; exit 1
`,
    );
  },
  isDone: (server, answer) =>
    server.read('etc/shop/partners.ini') === PARTNERS &&
    server.mode('etc/shop/partners.ini') === 0o640 &&
    says(server.read('var/lib/shop/partners-checks'), hash(Buffer.from(HTTPS_PARTNERS))) &&
    says(answer, 'legacy', '2027'),
};

/** The bytes that jobs 2 and 3 move. */
export const MOVED_BYTES = PLACES.length + DUMP.length;

/** The six, in the order in which they are asked for. */
export const FILE_JOBS: readonly Job[] = [shops, places, dump, relay, count, partners];
