import { createHmac } from 'node:crypto';
import {
  canonical,
  linkChallenge,
  isSigned as needsSignature,
  newOrder,
  type Order,
  type OrderResult,
  signInChallenge,
} from '../../../src/console/order.ts';
import { Authenticator } from '../../helpers/authenticator.ts';
import type { Vm } from './vm.ts';

/** Of Caddy's own authority. */
export const CA = '/var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt';

type Without<T> = T extends Order ? Omit<T, 'id' | 'at' | 'nonce'> & Partial<Pick<T, 'id' | 'at' | 'nonce'>> : never;
/** What a person orders. */
export type Wish = Without<Order>;

/** An answer of the console's API. */
export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/**
 * Shows a link in a terminal of root's, hands its URL on, and says yes when that has asked: again, since what is typed
 * ahead does not count. Returns what the terminal showed.
 */
export async function linkAtTerminal(vm: Vm, use: (url: string) => Promise<unknown>): Promise<string> {
  await vm.sh(`rm -f /opt/link /opt/yes
(until [ -e /opt/yes ]; do sleep 0.1; done; while echo y; do sleep 0.5; done) | setsid script -qfec 'agent3 console link' /opt/link > /dev/null 2>&1 &`);
  const url = await vm.until("grep -aoE 'https?://[^ [:cntrl:]]*#link=[^ [:cntrl:]]+' /opt/link", 30);
  await use(url.trim());
  await vm.until('grep -aqF "[y/N]" /opt/link', 30);
  await vm.sh('touch /opt/yes');
  return vm.until('grep -aq "^pinned" /opt/link && cat /opt/link', 30);
}

/** The console's page in a browser of the machine, with a phone that holds a passkey. */
export class ConsolePage {
  readonly phone: Authenticator;
  bearer: string | undefined;

  /** `curl` is how it gets there. */
  constructor(
    private readonly vm: Vm,
    readonly origin: string,
    private readonly curl: string = `--cacert ${CA} ${origin}`,
  ) {
    this.phone = new Authenticator(origin);
  }

  /** Asks the API. */
  async call(name: string, body: unknown = {}, seconds = 60): Promise<Answer> {
    const bearer = this.bearer === undefined ? '' : `-H 'Authorization: Bearer ${this.bearer}'`;
    const sent = Buffer.from(JSON.stringify(body)).toString('base64');
    const { stdout } = await this.vm.run(
      `echo ${sent} | base64 -d | curl -s -m ${seconds} -w '\\n%{http_code}' -H 'Content-Type: application/json' \\
  ${bearer} --data-binary @- ${this.curl}/api/${name}`,
      seconds + 30,
    );
    const lines = stdout.split('\n');
    const status = Number(lines.pop());
    return { status, body: JSON.parse(lines.join('\n') || '{}') as Record<string, unknown> };
  }

  /** The same; throws unless it is answered with 200. */
  async ask(name: string, body: unknown = {}): Promise<Record<string, unknown>> {
    const answer = await this.call(name, body);
    if (answer.status !== 200) throw new Error(`${name}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Answers the link that root's terminal shows with the passkey of the phone. */
  async enrol(name = 'Pixel 9'): Promise<void> {
    let body = {};
    const shown = await linkAtTerminal(this.vm, async (url) => {
      const [link = '', secret = ''] = url.slice(url.indexOf('#link=') + '#link='.length).split('.');
      const rest = { link, name, registration: this.phone.register(await linkChallenge(secret)) };
      body = { ...rest, mac: createHmac('sha256', secret).update(canonical(rest)).digest('base64url') };
      await this.ask('link', body);
    });
    const { fingerprint } = await this.phone.passkey();
    if (!shown.includes(fingerprint)) throw new Error(`the terminal does not show ${fingerprint}: ${shown}`);
    const { state } = await this.ask('link', body);
    if (state !== 'pinned') throw new Error(`the link is ${state}`);
  }

  async signIn(): Promise<void> {
    this.bearer = undefined;
    const challenge = String((await this.ask('hello'))['challenge']);
    const assertion = this.phone.assert(await signInChallenge(challenge));
    const { bearer } = await this.ask('sign-in', { challenge, assertion });
    this.bearer = String(bearer);
  }

  /** Orders something, signed where that is needed; returns what came of it. */
  async order(wish: Wish, isSigned = needsSignature(wish)): Promise<OrderResult> {
    const order = { ...newOrder(), ...wish } as Order;
    const assertion = isSigned ? { assertion: await this.phone.sign(order) } : {};
    return (await this.ask('order', { order, ...assertion })) as unknown as OrderResult;
  }

  /** The state that the agent shows. */
  async state(): Promise<Record<string, unknown>> {
    const { state } = await this.ask('watch', { version: 0, follow: [], wait_ms: 0 });
    return state as Record<string, unknown>;
  }
}
