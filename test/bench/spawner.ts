import { join } from 'node:path';

/** The peer process that calls posix_spawn. */
export class Spawner implements Disposable {
  readonly #child = Bun.spawn([process.execPath, join(import.meta.dir, 'peers/spawn.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  readonly #lines = this.#readLines();

  async run(count: number): Promise<number[]> {
    this.#child.stdin.write(`${count}\n`);
    this.#child.stdin.flush();
    const { value } = await this.#lines.next();
    return JSON.parse(value ?? '[]');
  }

  async *#readLines(): AsyncGenerator<string, void> {
    let rest = '';
    for await (const chunk of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }
}
