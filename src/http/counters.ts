/** How often something took how long, in the classes of a Prometheus histogram. */
export class Buckets {
  readonly counts: number[];
  count = 0;
  sumSeconds = 0;

  /** `boundsSeconds` ascend; each counts what took as long or less, and no bound before it. */
  constructor(readonly boundsSeconds: readonly number[]) {
    this.counts = boundsSeconds.map(() => 0);
  }

  observe(seconds: number): void {
    this.count++;
    this.sumSeconds += seconds;
    const at = this.boundsSeconds.findIndex((bound) => seconds <= bound);
    if (at !== -1) this.counts[at] = (this.counts[at] ?? 0) + 1;
  }
}

/** From a call that runs nothing to one that waits for its whole window. */
const REQUEST_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40];
/** From `true` to work in the background. */
const COMMAND_BOUNDS = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 45, 120, 600, 3600];

/** What the agent has done since its start. Counting costs a microsecond; what makes text of it is loaded when asked. */
export class Counters {
  /** By operation and HTTP status: `shell 200`. */
  readonly requests = new Map<string, number>();
  readonly requestSeconds = new Buckets(REQUEST_BOUNDS);
  /** By the status that the command ended with. */
  readonly commands = new Map<string, number>();
  readonly commandSeconds = new Buckets(COMMAND_BOUNDS);
  #failedLogins = 0;

  /** A request was answered; `op` is undefined where it called no operation. */
  request(op: string | undefined, status: number, seconds: number): void {
    add(this.requests, `${op ?? 'none'} ${status}`);
    this.requestSeconds.observe(seconds);
  }

  get failedLogins(): number {
    return this.#failedLogins;
  }

  /** A request was refused because of its token, or of those that came before from its address. */
  failedLogin(): void {
    this.#failedLogins++;
  }

  /** A command has ended. */
  command(status: string, seconds: number): void {
    add(this.commands, status);
    this.commandSeconds.observe(seconds);
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
