import { chmodSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The directory used as a server: its paths are those of a server, below `root`. */
export class FakeServer {
  constructor(readonly root: string) {}

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, content: string | Uint8Array, mode = 0o644): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), content);
    chmodSync(this.path(name), mode);
  }

  /** A program of bash, which finds its server in `$R`. */
  program(name: string, body: string): void {
    this.write(`bin/${name}`, `#!/bin/bash\nR=${this.root}\n${body}`, 0o755);
  }

  /** A program of Python, which finds its server in `R`. */
  python(name: string, body: string): void {
    this.write(`bin/${name}`, `#!/usr/bin/python3\nR = "${this.root}"\n${body}`, 0o755);
  }

  /** The text of a file; empty where the file is missing. */
  read(name: string): string {
    try {
      return readFileSync(this.path(name), 'utf8');
    } catch {
      return '';
    }
  }

  /** The SHA-256 of a file, in hexadecimal digits; empty where the file is missing. */
  sha256(name: string): string {
    return this.has(name) ? new Bun.CryptoHasher('sha256').update(readFileSync(this.path(name))).digest('hex') : '';
  }

  has(name: string): boolean {
    return statSync(this.path(name), { throwIfNoEntry: false }) !== undefined;
  }

  mode(name: string): number {
    return statSync(this.path(name)).mode & 0o777;
  }

  /** Makes a file look as if it had been written so many days ago. */
  age(name: string, days: number): void {
    const then = Date.now() / 1000 - days * 86_400;
    utimesSync(this.path(name), then, then);
  }

  /** Whether a process runs whose id is in a file. */
  runs(pidFile: string): boolean {
    const pid = Number(this.read(pidFile));
    return pid > 1 && statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined;
  }
}
