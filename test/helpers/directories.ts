import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new empty directory. The caller removes it, or holds a `TemporaryDirectory` instead. */
export function makeDirectory(parent: string = tmpdir()): string {
  return mkdtempSync(join(parent, 'agent3-test-'));
}

/** An empty directory that lives as long as its `using` block. */
export class TemporaryDirectory implements Disposable {
  readonly path: string;

  constructor(parent?: string) {
    this.path = makeDirectory(parent);
  }

  join(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
