import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BINARY } from '../../helpers/binary.ts';
import { ensurePrograms } from '../../helpers/debian.ts';
import { TemporaryDirectory } from '../../helpers/directories.ts';
import { HOSTS, OAuthHost, submit } from '../../helpers/oauth-host.ts';
import { type SignedIn, SignInAgent } from '../../helpers/sign-in.ts';

const isRoot = process.geteuid?.() === 0;
const missing = ensurePrograms('bwrap', 'perl', 'setpriv');

/** Makes a user the owner of the agent's files, and runs it as that user. */
const BECOME =
  'chown -R "$0:$0" . "$AGENT3_SESSIONS_DIR" "$(dirname "$AGENT3_TOKENS_FILE")"; ' +
  'exec setpriv --reuid="$0" --regid="$0" --clear-groups "$@"';

/** Looks through the memory of every process for what begins as the key does. Its own has the beginning alone. */
const MEMORY = `perl -e '
  my $begin = $ENV{BEGIN};
  for my $pid (grep { m{^/proc/[0-9]+$} } glob($ENV{PROCESSES} // "/proc/*")) {
    open(my $maps, "<", "$pid/maps") or next;
    open(my $mem, "<:raw", "$pid/mem") or next;
    while (<$maps>) {
      my ($from, $to) = /^([0-9a-f]+)-([0-9a-f]+) rw/ or next;
      ($from, $to) = (hex($from), hex($to));
      # The heap of JavaScript has a GiB of addresses; beyond that nothing is kept.
      next if $to - $from > 2 ** 31;
      for (my $at = $from; $at < $to; $at += 2 ** 24) {
        my $size = $to - $at < 2 ** 24 ? $to - $at : 2 ** 24 + 64;
        seek($mem, $at, 0) and read($mem, my $bytes, $size) or next;
        while ($bytes =~ /(\\Q$begin\\E[\\w-]{5,40})/g) { print "$1\\n" }
      }
    }
  }'`;

/** What a command tries; `$GRANTS`, `$TOKENS`, `$RECORD`, `$AGENT` and `$URL` are known to it. */
const ATTEMPTS: readonly (readonly [what: string, cmd: string])[] = [
  ['read the key in its own environment', 'env; set; cat /proc/self/environ'],
  ['read the key in the environment of other processes', 'cat /proc/*/environ /proc/*/task/*/environ'],
  ['read the key in memory', MEMORY],
  [
    'forge a state',
    'for f in "$GRANTS"/*; do sed -i "s/\\"ended\\":[^,]*/\\"ended\\":null/; s/\\"generation\\":[0-9]*/\\"generation\\":9/" "$f"; done',
  ],
  ['write over a state', 'for f in "$GRANTS"/*; do echo "{}" > "$f"; done'],
  ['put a link in the place of a state', 'for f in "$GRANTS"/*; do ln -sf /etc/passwd "$f"; done'],
  ['remove what is remembered', 'rm -rf "$GRANTS"; mv "$GRANTS" "$GRANTS.old"'],
  ['make a state of its own', 'mkdir -p "$GRANTS"; echo "{\\"version\\":1}" > "$GRANTS/0badc0de.json"'],
  ['write the file of tokens', 'sed -i "s/readonly/full/g" "$TOKENS"; echo "{}" > "$TOKENS"'],
  ['write the record', 'echo "{}" >> "$RECORD"; rm -f "$RECORD"'],
  [
    'make a grant with a key of its own',
    'AGENT3_TOKENS_FILE="$TOKENS" AGENT3_SESSIONS_DIR="$(dirname "$GRANTS")" AGENT3_GRANT_KEY=a-key-of-mine-that-is-long-enough ' +
      'AGENT3_PUBLIC_URL="$URL" timeout 3 "$AGENT" connect --name evil --client other --profile full --json --yes < /dev/null',
  ],
  [
    'make a grant without a key',
    'AGENT3_TOKENS_FILE="$TOKENS" AGENT3_PUBLIC_URL="$URL" timeout 3 "$AGENT" connect --name evil --client other --profile full --json --yes < /dev/null',
  ],
  ['make a token', 'AGENT3_TOKENS_FILE="$TOKENS" "$AGENT" token create evil --profile full'],
];

/** Only where commands run as another user: those that run as the agent can stop it. */
const NARROW = [
  ...ATTEMPTS,
  ['read the key in core files', 'kill -QUIT $PPID; kill -QUIT -1; sleep 0.1; cat core* /var/crash/* 2>/dev/null'],
] as const;

const DAEMON = 1;
/** Who the agent runs as, and the profiles of the attackers. `full` is root's own where the agent is root. */
const AGENTS = [
  ['root', 0, ['readonly', 'work', 'below', 'old']],
  ['daemon', DAEMON, ['full', 'readonly', 'work']],
] as const;

describe.skipIf(!isRoot || missing.length > 0).each([...AGENTS])(
  'of an agent that is %s, a command tries in vain to',
  (who, uid, profiles) => {
    const place = join('/srv', `agent3-grants-${who}-${process.pid}`);
    const files = new TemporaryDirectory();
    const attackers: Record<string, string> = {};
    let server: SignInAgent;
    let victim: SignedIn;

    beforeAll(async () => {
      chmodSync(files.path, 0o755);
      mkdirSync(place);
      const profilesDir = files.join('profiles.d');
      mkdirSync(profilesDir);
      const texts: Readonly<Record<string, string>> = {
        work: `extends = "workspace"\ndirectory = "${place}"\n`,
        below: 'extends = "full"\nuser = "nobody"\n',
        old: 'extends = "readonly"\nuser = "nobody"\n',
      };
      for (const [name, text] of Object.entries(texts)) writeFileSync(join(profilesDir, `${name}.toml`), text);
      chownSync(place, uid, uid);
      const settings = { AGENT3_PROFILES_DIR: profilesDir };
      server = await SignInAgent.start(settings, uid === 0 ? [] : ['sh', '-c', BECOME, who]);
      victim = await server.signIn(HOSTS.other, 'victim', '--profile', 'readonly', '--expires', '1h');
      for (const profile of profiles) {
        const made = await server.owner('token', 'create', `by-${profile}`, '--profile', profile);
        attackers[profile] = made.stdout.trim();
        expect([profile, made.code]).toEqual([profile, 0]);
      }
      await Bun.sleep(1200);
    });
    afterAll(async () => {
      await server?.[Symbol.asyncDispose]();
      files[Symbol.dispose]();
      Bun.spawnSync(['rm', '-rf', place]);
    });

    const grants = () => join(server.agent.sessionsDir, '.grants');
    const states = () => readdirSync(grants()).map((name) => readFileSync(join(grants(), name), 'utf8'));
    const tokensFile = () => server.settings['AGENT3_TOKENS_FILE'] ?? '';
    const key = () => server.settings['AGENT3_GRANT_KEY'] ?? '';

    const run = async (profile: string, cmd: string): Promise<string> => {
      const env = {
        GRANTS: grants(),
        TOKENS: tokensFile(),
        RECORD: join(dirname(tokensFile()), 'audit.jsonl'),
        AGENT: BINARY,
        URL: server.issuer,
        BEGIN: key().slice(0, 12),
      };
      const response = await fetch(`${server.issuer}/shell`, {
        method: 'POST',
        headers: { 'x-auth-token': attackers[profile] ?? '' },
        body: JSON.stringify({ cmd, env, timeout: 20 }),
      });
      const text = await response.text();
      expect([response.status, text]).toEqual([200, expect.any(String)]);
      return text;
    };

    test('(root can: what looks through memory finds it)', () => {
      const env = { ...process.env, BEGIN: key().slice(0, 12), PROCESSES: `/proc/${server.agent.pid}` };
      expect(Bun.spawnSync(['sh', '-c', MEMORY], { env }).stdout.toString()).toContain(key());
    });

    /** The code that a forged grant would have. */
    const tryCode = async (text: string) => {
      for (const [, code = ''] of text.matchAll(/\\"code\\":\\"([A-Z2-7]{10})\\"/g)) {
        const host = await OAuthHost.discover(HOSTS.other, server.mcp);
        const answer = await submit((await host.ask()).url, code);
        expect([answer.status, answer.headers.get('location')]).toEqual([403, null]);
      }
    };

    test.each(
      profiles
        .filter((profile) => profile !== 'full')
        .flatMap((profile) => NARROW.map(([what, cmd]) => [profile, what, cmd] as const)),
    )('(%s) %s', async (profile, _what, cmd) => {
      const before = [states(), readFileSync(tokensFile(), 'utf8')];
      const text = await run(profile, cmd);
      expect(text).not.toContain(key());
      await tryCode(text);
      expect([states(), readFileSync(tokensFile(), 'utf8')]).toEqual(before);
      expect((await server.call(victim.tokens.access)).status).toBe(200);
    });

    // Commands that run as the agent may end what it serves; they make, prolong and widen nothing.
    if (!(profiles as readonly string[]).includes('full')) return;
    test.each([...ATTEMPTS])('(full) %s', async (_what, cmd) => {
      const tokens = readFileSync(tokensFile(), 'utf8');
      const kept = Object.fromEntries(readdirSync(grants()).map((name) => [name, readFileSync(join(grants(), name))]));
      const text = await run('full', cmd);
      expect(text).not.toContain(key());
      await Bun.sleep(1200);
      await tryCode(text);
      const outside = files.join('widened');
      await server.call(victim.tokens.access, { cmd: `echo widened > ${outside}; echo widened > ${place}/widened` });
      expect(readdirSync(place)).not.toContain('widened');
      // As it was, for the next one.
      writeFileSync(tokensFile(), tokens);
      for (const [name, bytes] of Object.entries(kept)) {
        Bun.spawnSync(['rm', '-rf', join(grants(), name)]);
        mkdirSync(grants(), { recursive: true });
        writeFileSync(join(grants(), name), bytes);
        chownSync(join(grants(), name), uid, uid);
      }
    });
  },
);
