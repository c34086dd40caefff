import { afterAll, beforeAll, expect, test } from 'bun:test';
import { BUNDLE } from './harness/bundle.ts';
import { describeVm } from './harness/describe.ts';
import { bootVm, type Vm } from './harness/vm.ts';

const CA = '/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt';

/** Of PKCE. */
const VERIFIER = 'v'.repeat(43);

/** A call as a client sees the server: by name, over HTTPS, with Caddy's own authority. */
const call = (cmd: string, more = ''): string => `. /etc/agent3/agent3.env
curl -s --cacert ${CA} ${more} -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") https://agent3.localhost/ \\
  -d '{"op":"shell","args":{"cmd":"${cmd}"}}'`;

describeVm('HTTPS through Caddy', () => {
  let vm: Vm;
  let caddyfile: string;
  beforeAll(async () => {
    vm = await bootVm({
      needs: 'container',
      files: BUNDLE,
    });
    caddyfile = await vm.sh('cat /etc/caddy/Caddyfile');
  }, 600_000);
  afterAll(() => vm?.[Symbol.asyncDispose]());

  test('without Caddy says the two commands that it takes', async () => {
    const { code, stderr } = await vm.run(
      'mv /usr/bin/caddy /usr/bin/caddy.away; /opt/bundle/ops/install --domain agent3.localhost; code=$?; mv /usr/bin/caddy.away /usr/bin/caddy; exit $code',
    );
    expect(code).toBe(1);
    expect(stderr).toContain('apt-get install caddy\n  agent3 install --domain agent3.localhost');
  });

  test('is set up by --domain', async () => {
    const told = await vm.sh('/opt/bundle/ops/install --domain agent3.localhost');
    expect(told).toContain('URL       https://agent3.localhost/');
    await vm.until(`${call('echo over HTTPS')} | grep -q 'over HTTPS'`, 60);
  }, 180_000);

  test('lets clients sign in under the name, also after an upgrade of one that knew no sign-in', async () => {
    const url = "grep -x 'AGENT3_PUBLIC_URL=https://agent3.localhost' /etc/agent3/agent3.env";
    await vm.sh(url);
    await vm.sh("sed -i '/^AGENT3_PUBLIC_URL=/d; /^AGENT3_GRANT_KEY=/d' /etc/agent3/agent3.env; agent3 install");
    await vm.sh(url);
    expect(await vm.sh('agent3 doctor || true')).toMatch(/^✓ sign-in .*, so chats cannot sign in$/m);
    const events = await vm.sh(
      String.raw`agent3 connect --client other --profile full --json --yes > /opt/events &
for _ in $(seq 50); do grep -q code_expires /opt/events && break; sleep 0.2; done
ask() { curl -s --cacert ${CA} "$@"; }
code=$(sed -nE 's/.*"code":"([A-Z2-7]*)".*/\1/p' /opt/events)
at=https://agent3.localhost; back=http://127.0.0.1:5555/cb
id=$(ask $at/oauth/register -d '{"redirect_uris":["http://127.0.0.1:5555/cb"]}' | sed -E 's/.*"client_id":"([^"]*)".*/\1/')
challenge=$(printf %s ${VERIFIER} | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d =)
given=$(ask -o /dev/null -w '%{redirect_url}' $at/oauth/authorize -d response_type=code -d client_id=$id -d code=$code \
  --data-urlencode redirect_uri=$back -d code_challenge_method=S256 -d code_challenge=$challenge | sed -E 's/.*[?&]code=([^&]*).*/\1/')
token=$(ask $at/oauth/token -d grant_type=authorization_code -d client_id=$id -d code=$given -d code_verifier=${VERIFIER} \
  | sed -E 's/.*"access_token":"([^"]*)".*/\1/')
wait
ask $at/mcp -H "Authorization: Bearer $token" \
  -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"shell","arguments":{"cmd":"echo signed in"}}}'
cat /opt/events; agent3 token list`,
      120,
    );
    expect(events).toContain('signed in');
    expect(events).toContain('"event":"connected"');
    expect(events).toMatch(/^other .* full .* last used/m);
  }, 240_000);

  test('carries an answer that is silent for long', async () => {
    expect(await vm.sh(call('sleep 35; echo late'))).toContain('late');
  }, 120_000);

  test('leaves the address of the client in the log, whatever the client says', async () => {
    await vm.sh(call('true', "--interface 127.0.0.5 -H 'X-Forwarded-For: 6.6.6.6'"));
    await vm.until(`grep -q '"address":"127.0.0.5"' /var/log/agent3/agent3.log`, 10);
    expect(await vm.sh('cat /var/log/agent3/agent3.log')).not.toContain('6.6.6.6');
  });

  test('takes no large body', async () => {
    const status = await vm.sh(
      `head -c 3000000 /dev/zero | curl -s -o /dev/null -w '%{http_code}' --cacert ${CA} --data-binary @- https://agent3.localhost/`,
    );
    expect(['403', '413']).toContain(status);
  });

  test('takes a large file by its link', async () => {
    const put = `. /etc/agent3/agent3.env
head -c 5000000 /dev/urandom > /opt/large
link=$(curl -s --cacert ${CA} -H @<(echo "X-Auth-Token: $AGENT3_API_TOKEN") https://agent3.localhost/upload \\
  -d '{"path":"/var/lib/agent3/sessions/large"}' | sed -E 's/.*"url":"([^"]*)".*/\\1/')
curl -sf --cacert ${CA} -T /opt/large "$link"; cmp /opt/large /var/lib/agent3/sessions/large; rm /var/lib/agent3/sessions/large`;
    expect(await vm.sh(put)).toContain('"bytes":5000000');
    expect(await vm.sh('agent3 doctor || true')).toMatch(
      /^✓ transfer +a file of 3 MiB was transferred by https:\/\/agent3.localhost$/m,
    );
    expect(await vm.sh('ls -A /var/lib/agent3/sessions')).not.toContain('.doctor');
  }, 60_000);

  test('gives links with the rights of a profile', async () => {
    const moved = `install -d -o agent3 /srv/work
echo 'extends = "workspace"' > /etc/agent3/profiles.d/work.toml
echo 'directory = "/srv/work"' >> /etc/agent3/profiles.d/work.toml
token=$(agent3 token create mover --profile work)
echo moved > /opt/small
cp() { AGENT3_URL=https://agent3.localhost AGENT3_API_TOKEN=$token NODE_EXTRA_CA_CERTS=${CA} agent3 cp "$@"; }
cp /opt/small :/srv/work/small; cp :/srv/work/small /opt/back; cmp /opt/small /opt/back; stat -c %U /srv/work/small
! cp /opt/small :/etc/small; ! cp :/etc/agent3/agent3.env /opt/env; ls /opt/env /etc/small || true`;
    expect(await vm.sh(moved)).toBe('agent3\n');
  }, 60_000);

  test('changes nothing the second time', async () => {
    expect(await vm.sh('/opt/bundle/ops/install --domain agent3.localhost')).toStartWith('Nothing to change');
    expect(await vm.sh('/opt/bundle/ops/install')).toContain('https://agent3.localhost/');
  }, 60_000);

  test('follows the agent to another port', async () => {
    expect(await vm.sh('agent3 install --port 5007')).toContain('https://agent3.localhost/');
    expect(await vm.sh(call('echo on 5007'))).toContain('on 5007');
    await vm.sh("sed -i 's/127.0.0.1:5007/127.0.0.1:5008/' /etc/caddy/agent3.caddy; systemctl reload caddy");
    expect((await vm.run('agent3 doctor')).stdout).toContain(
      '✗ https      agent3.localhost does not lead to the agent',
    );
    await vm.sh('agent3 install');
    expect(await vm.sh(call('echo mended'))).toContain('mended');
  }, 60_000);

  test('is taken away by --no-domain, and comes back', async () => {
    expect(await vm.sh('agent3 install --no-domain')).toContain('URL       http://127.0.0.1:5007/');
    expect((await vm.run('grep ^AGENT3_PUBLIC_URL=. /etc/agent3/agent3.env')).code).toBe(1);
    expect(await vm.sh('cat /etc/caddy/Caddyfile')).toBe(caddyfile);
    await vm.sh('agent3 install --domain agent3.localhost');
    expect(await vm.sh(call('echo back'))).toContain('back');
  }, 60_000);

  test('goes with the agent, and leaves the rest of Caddy as it was', async () => {
    await vm.sh('agent3 uninstall');
    expect(await vm.sh('cat /etc/caddy/Caddyfile')).toBe(caddyfile);
    expect((await vm.run('ls /etc/caddy/agent3.caddy')).code).not.toBe(0);
    expect(await vm.sh('systemctl is-active caddy')).toBe('active\n');
  });
});
