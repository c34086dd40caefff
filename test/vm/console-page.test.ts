import { expect, test } from 'bun:test';
import { browserObstacle, openBrowser } from '../helpers/browser.ts';
import { OwnerPage } from '../helpers/owner-page.ts';
import { freePort } from '../helpers/ports.ts';
import { relayTo } from '../helpers/relay.ts';
import { eventually } from '../helpers/waiting.ts';
import { BUNDLE } from './harness/bundle.ts';
import { linkAtTerminal } from './harness/console.ts';
import { describeVm } from './harness/describe.ts';
import { ask, shellIn } from './harness/installed.ts';
import { bootVm } from './harness/vm.ts';

const obstacle = browserObstacle();
if (obstacle !== undefined) console.error(`console: its page is not tried in a browser: ${obstacle}`);

/** As `ssh -L PORT:/run/agent3-console.sock server` does it. */
const SOCKET = '/run/agent3-console.sock';

describeVm("the console's page, from a browser on another machine", () => {
  test.skipIf(obstacle !== undefined)(
    'links, approves, freezes and thaws on the installed service',
    async () => {
      await using vm = await bootVm({ needs: 'container', files: BUNDLE });
      if (vm.hasControllers) throw new Error('the browser reaches a container alone, and none can be booted here');
      const port = await freePort();
      const origin = `http://localhost:${port}`;
      await vm.sh(`/opt/bundle/ops/install
sed -i 's#^AGENT3_CONSOLE_ORIGIN=.*#AGENT3_CONSOLE_ORIGIN=${origin}#' /etc/agent3/console.env
printf 'extends = "full"\\notherwise = "confirm"\\n' > /etc/agent3/profiles.d/careful.toml
agent3 token create careful --profile careful > /opt/careful 2> /dev/null
systemctl stop agent3-console-proxy agent3-console; systemctl restart agent3`);
      const unix = await vm.reach(SOCKET);
      using _relay = Bun.listen({ hostname: '127.0.0.1', port, socket: relayTo({ unix }) });
      const browser = await openBrowser();
      try {
        await using phone = await OwnerPage.open(browser, { origin, link: (use) => linkAtTerminal(vm, use) });
        expect(await phone.enrol()).toContain('Pixel 9');
        await vm.sh(`curl -s -H "X-Auth-Token: $(cat /opt/careful)" http://127.0.0.1:5000/shell \\
  -d '{"cmd":"echo approved > /tmp/approved","background":true}'`);
        await phone.shows('Request 1');
        await phone.press('Approve request 1');
        await vm.until('grep approved /tmp/approved', 30);
        await phone.press('Freeze');
        await phone.press('Freeze now');
        await phone.shows('Frozen');
        expect((await ask(vm, 'shell', { cmd: 'true' })).status).toBe(503);
        await phone.press('Thaw');
        await eventually('it is thawed', async () => (await ask(vm, 'shell', { cmd: 'true' })).status === 200);
        expect(await shellIn(vm, 'echo back')).toBe('back\n');
        expect(phone.watched.faults.filter((fault) => /policy|thrown/.test(fault))).toEqual([]);
      } finally {
        await browser.close();
      }
    },
    300_000,
  );
});
