import { libc } from './libc.ts';

/** getdents64(2), for which the C library only has a function since glibc 2.30. */
const GETDENTS64 = process.arch === 'arm64' ? 61 : 217;
/** `struct linux_dirent64`: number of the file, offset, length of the entry, kind; then the name, which a zero ends. */
const [LENGTH_AT, NAME_AT] = [16, 19] as const;
const ROOM_BYTES = 65_536;

/**
 * Returns the names in a directory that was just opened, as bytes, which need not be UTF-8; at most `most` and one
 * more: then there are too many, and the rest is not read. Throws if the system cannot read it.
 */
export function readNames(fd: number, most: number): Buffer[] {
  const names: Buffer[] = [];
  const room = Buffer.alloc(ROOM_BYTES);
  for (;;) {
    const length = Number(libc().syscall(GETDENTS64, fd, room, ROOM_BYTES));
    if (length < 0) throw new Error('the directory cannot be read');
    if (length === 0) return names;
    for (let at = 0; at < length; at += room.readUInt16LE(at + LENGTH_AT)) {
      const start = at + NAME_AT;
      const name = Buffer.from(room.subarray(start, room.indexOf(0, start)));
      if (['.', '..'].includes(name.toString('latin1'))) continue;
      if (names.push(name) > most) return names;
    }
  }
}
