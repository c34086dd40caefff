import { quote } from './scripts.ts';
import type { Vm } from './vm.ts';

/** An answer of the installed agent, asked by curl inside the machine. */
export interface Asked {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Calls an operation of the installed agent with the token of its settings. */
export async function ask(vm: Vm, op: string, args: unknown, seconds = 60): Promise<Asked> {
  const { stdout } = await vm.run(
    `. /etc/agent3/agent3.env; TIMEOUT=${seconds}; ${requestScript('$AGENT3_API_TOKEN', JSON.stringify({ op, args }))}`,
    seconds + 30,
  );
  return answerIn(stdout);
}

/**
 * Bash that posts JSON to the agent on port AGENT3_PORT, 5000 unless set, and prints all that it answers within TIMEOUT,
 * in seconds. Under emulation, curl takes as long to start as the agent to answer. The token may be a variable.
 */
export function requestScript(token: string, body: string): string {
  const head = [
    'POST / HTTP/1.1',
    'Host: 127.0.0.1',
    'Connection: close',
    `X-Auth-Token: ${token}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
  ].join('\\r\\n');
  return `{ exec 3<> /dev/tcp/127.0.0.1/\${AGENT3_PORT:-5000}; } 2> /dev/null &&
printf "${head}\\r\\n\\r\\n%s" ${quote(body)} >&3 && timeout \${TIMEOUT:-60} cat <&3; exec 3>&-`;
}

/** An answer as it came over the wire; the status is 0 where none came. */
export function answerIn(text: string): Asked {
  const end = text.indexOf('\r\n\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0);
  return { status, body: JSON.parse((end < 0 ? '' : text.slice(end + 4)) || '{}') as Record<string, unknown> };
}

/** Runs a command through the installed agent; returns its standard output. Throws unless it was answered with 200. */
export async function shellIn(vm: Vm, cmd: string): Promise<string> {
  const { status, body } = await ask(vm, 'shell', { cmd });
  if (status !== 200) throw new Error(`${cmd}: ${status} ${JSON.stringify(body)}`);
  return String(body['stdout']);
}

/** Waits until the installed agent runs a command again; returns the seconds that took. */
export async function answersWithin(vm: Vm, seconds: number): Promise<number> {
  const start = performance.now();
  // One that hangs takes the connection and never answers: it is asked again.
  const timeout = Math.min(20, Math.ceil(seconds / 3));
  const asked = `. /etc/agent3/agent3.env; TIMEOUT=${timeout}
answer=$(${requestScript('$AGENT3_API_TOKEN', '{"op":"shell","args":{"cmd":"echo alive"}}')})
[[ $answer == *alive* ]]`;
  try {
    await vm.until(asked, seconds);
  } catch (error) {
    const { stdout } = await vm.run(
      'systemctl status --no-pager -n 30 agent3; ps -eo pid,stat,etimes,wchan:20,args; cat /proc/pressure/*',
    );
    throw new Error(`${error instanceof Error ? error.message : error}\n${stdout}`, { cause: error });
  }
  return (performance.now() - start) / 1000;
}

/** Rotates the logs when the agent writes to `file`, one of them: logrotate leaves a file that is empty where it is. */
export async function rotateOnceWritten(vm: Vm, file: string): Promise<void> {
  await vm.until(`test -s ${file}`, 60);
  await vm.sh('logrotate -f /etc/logrotate.d/agent3');
}

/** What the doctor says of one thing. */
export interface Finding {
  readonly check: string;
  readonly ok: boolean;
  readonly advice?: string;
}

/** What the doctor finds wrong. Where no limit can hold it says so, which is left out: it is no fault of the agent. */
export async function faultsOf(vm: Vm): Promise<Finding[]> {
  return faultsIn(vm, (await vm.run('agent3 doctor --json')).stdout);
}

/** The same of a report of the doctor, as JSON. */
export function faultsIn(vm: Vm, report: string): Finding[] {
  const { findings } = JSON.parse(report) as { findings: Finding[] };
  const wrong = findings.filter(({ ok }) => !ok);
  return vm.hasControllers ? wrong : wrong.filter(({ check }) => check !== 'cgroup');
}

/** Waits until the doctor finds nothing wrong. Throws with what it finds last. */
export async function healthyWithin(vm: Vm, seconds: number): Promise<void> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const faults = await faultsOf(vm);
    if (faults.length === 0) return;
    if (performance.now() > end) throw new Error(`not well within ${seconds} s: ${JSON.stringify(faults)}`);
  }
}

/**
 * Every file of the machine that an installation could touch: path, kind, mode, owner, size and link. The size of a
 * directory says how many files came and went.
 */
export function fileSystem(vm: Vm): Promise<string> {
  return vm.sh(
    String.raw`find /etc /usr /var/lib /var/log /opt /root /home -xdev \
      \( -path /var/log/journal -o -path /var/lib/systemd -o -path /var/lib/logrotate -o -path /var/lib/caddy \) -prune -o \
      \( -type d -printf '%p %y %m %u %g\n' -o -printf '%p %y %m %u %g %s %l\n' \) | grep -v -E '^/var/log/agent3/((agent3|watchdog).log|audit.jsonl) |^/etc/(passwd|group|shadow|gshadow)-? |^/etc d|^/var/log(/(wtmp|btmp|lastlog|faillog))? |^/etc/.pwd.lock|^/opt/vm' | sort`,
  );
}

/** dpkg's own records, and what tools of the system note when a package comes and goes. */
const NOTED = /^\/var\/lib\/(dpkg|apt|ucf)\b|^\/var\/log\/(dpkg|apt|alternatives)|^\/usr\/share\/lintian/;

/** As `fileSystem`, without what dpkg notes of every package. */
export async function fileSystemBesideDpkg(vm: Vm): Promise<string> {
  const lines = (await fileSystem(vm)).split('\n');
  return lines.filter((line) => !NOTED.test(line)).join('\n');
}
