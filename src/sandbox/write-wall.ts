import { isDirectory } from './hidden.ts';
import { OWN_PROGRAMS } from './machine-view.ts';

/** What a command that may write nowhere can still open for writing: its sandbox's own directories, and devices. */
const OWN = ['/dev', '/tmp', '/var/tmp', '/run'] as const;

/** The path of the program in a sandbox. */
const PATH = `${OWN_PROGRAMS}/only-own-writes`;

/** The words before a command that put it behind the wall, and the options that put the program at `PATH`. */
export interface Wall {
  readonly words: readonly string[];
  readonly options: readonly string[];
  readonly program: Uint8Array;
}

/**
 * `fd` is where the program will be read from. Returns undefined without a program for this processor, or without /run.
 */
export function wallFrom(fd: number): Wall | undefined {
  if (!isDirectory('/run')) return undefined;
  own ??= writeWall();
  return own && { words: [PATH], options: ['--perms', '0755', '--file', String(fd), PATH], program: own };
}

let own: Uint8Array | undefined;

/**
 * Returns a program of one page that limits its successor (its words) to its own output: it can open nothing else for
 * writing. A read-only mount does not prevent writing into a named pipe. It uses Landlock (landlock(7), Linux 5.13),
 * and continues without it on older kernels. perl(1) could do the same, and takes 1 ms more for each command.
 *
 * `landlock_create_ruleset` (444) handles the rights to write to files and to move them to another directory (0x2002),
 * or the first alone (2) if the kernel has no other; `landlock_add_rule` (445) allows them by a rule about a path (1)
 * for standard output, standard error and each of OWN, opened with O_PATH | O_CLOEXEC (0x280000);
 * `landlock_restrict_self` (446). Undefined for another processor.
 */
export function writeWall(architecture: string = process.arch): Uint8Array | undefined {
  const known = MACHINES[architecture];
  if (known === undefined) return undefined;
  const code = Buffer.from([...known.listing.matchAll(/^ +([0-9a-f]{2,})/gm)].map(([, hex]) => hex).join(''), 'hex');
  return asProgram(known.machine, Buffer.concat([code, Buffer.from([...OWN, '', ''].join('\0'))]));
}

/** Where programs are put in memory, and the size of the two headers (elf(5)). */
const [BASE, FILE_HEADER, SEGMENT_HEADER] = [0x40_0000n, 64, 56] as const;

/** An executable of one segment, which can be read and executed. */
function asProgram(machine: number, content: Uint8Array): Uint8Array {
  const start = FILE_HEADER + SEGMENT_HEADER;
  const size = BigInt(start + content.length);
  const head = Buffer.alloc(start);
  // 64 bits, little-endian, version 1; an executable (2) of this machine.
  head.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  for (const [at, value] of [
    [16, 2],
    [18, machine],
    [52, FILE_HEADER],
    [54, SEGMENT_HEADER],
    [56, 1],
  ] as const)
    head.writeUInt16LE(value, at);
  // Version; of the segment its kind, to be loaded (1), and that it is read (4) and executed (1).
  for (const [at, value] of [
    [20, 1],
    [64, 1],
    [68, 5],
  ] as const)
    head.writeUInt32LE(value, at);
  // Entry and offset of the segment's header; its address, twice, and size, twice, and alignment.
  for (const [at, value] of [
    [24, BASE + BigInt(start)],
    [32, BigInt(FILE_HEADER)],
    [80, BASE],
    [88, BASE],
    [96, size],
    [104, size],
    [112, 0x1_0000n],
  ] as const)
    head.writeBigUInt64LE(value, at);
  return Buffer.concat([head, content]);
}

/** The bytes of each instruction, in their order in memory, and what they do. `paths` follows them. */
const X64 = `
start:
  4883ec10           sub rsp,0x10
  48c7042402200000   mov QWORD [rsp],0x2002
create:
  4889e7             mov rdi,rsp
  be08000000         mov esi,0x8
  31d2               xor edx,edx
  b8bc010000         mov eax,0x1bc
  0f05               syscall
  85c0               test eax,eax
  7915               jns created
  48833c2402         cmp QWORD [rsp],0x2
  0f8484000000       je run
  48c7042402000000   mov QWORD [rsp],0x2
  ebd6               jmp create
created:
  89c3               mov ebx,eax
  4c8b2c24           mov r13,QWORD [rsp]
  48c7042402000000   mov QWORD [rsp],0x2
  c744240801000000   mov DWORD [rsp+0x8],0x1
  e887000000         call add
  c744240802000000   mov DWORD [rsp+0x8],0x2
  e87a000000         call add
  4c892c24           mov QWORD [rsp],r13
  4c8d2586000000     lea r12,[rip+0x86] paths
next:
  41803c2400         cmp BYTE [r12],0x0
  7431               je restrict
  bf9cffffff         mov edi,0xffffff9c
  4c89e6             mov rsi,r12
  ba00002800         mov edx,0x280000
  4531d2             xor r10d,r10d
  b801010000         mov eax,0x101
  0f05               syscall
  85c0               test eax,eax
  7809               js skip
  89442408           mov DWORD [rsp+0x8],eax
  e844000000         call add
skip:
  49ffc4             inc r12
  41807c24ff00       cmp BYTE [r12-0x1],0x0
  75f5               jne skip
  ebc8               jmp next
restrict:
  89df               mov edi,ebx
  31f6               xor esi,esi
  b8be010000         mov eax,0x1be
  0f05               syscall
  85c0               test eax,eax
  751c               jne fail
run:
  4883c410           add rsp,0x10
  488b0424           mov rax,QWORD [rsp]
  488d54c410         lea rdx,[rsp+rax*8+0x10]
  488d742410         lea rsi,[rsp+0x10]
  488b3e             mov rdi,QWORD [rsi]
  b83b000000         mov eax,0x3b
  0f05               syscall
fail:
  bf7e000000         mov edi,0x7e
  b83c000000         mov eax,0x3c
  0f05               syscall
add:
  89df               mov edi,ebx
  be01000000         mov esi,0x1
  488d542408         lea rdx,[rsp+0x8]
  4531d2             xor r10d,r10d
  b8bd010000         mov eax,0x1bd
  0f05               syscall
  c3                 ret
`;

const ARM64 = `
start:
  ff4300d1           sub sp, sp, #0x10
  550084d2           mov x21, #0x2002
create:
  f50300f9           str x21, [sp]
  e0030091           mov x0, sp
  010180d2           mov x1, #0x8
  020080d2           mov x2, #0x0
  883780d2           mov x8, #0x1bc
  010000d4           svc #0x0
  a000f836           tbz w0, #31, created
  bf0a00f1           cmp x21, #0x2
  c0030054           b.eq run
  550080d2           mov x21, #0x2
  f6ffff17           b create
created:
  f303002a           mov w19, w0
  490080d2           mov x9, #0x2
  e90300f9           str x9, [sp]
  20008052           mov w0, #0x1
  21000094           bl add
  40008052           mov w0, #0x2
  1f000094           bl add
  f50300f9           str x21, [sp]
  b4040010           adr x20, paths
next:
  89024039           ldrb w9, [x20]
  89010034           cbz w9, restrict
  600c8012           mov w0, #0xffffff9c
  e10314aa           mov x1, x20
  0205a052           mov w2, #0x280000
  030080d2           mov x3, #0x0
  080780d2           mov x8, #0x38
  010000d4           svc #0x0
  4000f837           tbnz w0, #31, skip
  13000094           bl add
skip:
  89164038           ldrb w9, [x20], #1
  e9ffff35           cbnz w9, skip
  f4ffff17           b next
restrict:
  e003132a           mov w0, w19
  010080d2           mov x1, #0x0
  c83780d2           mov x8, #0x1be
  010000d4           svc #0x0
  00010035           cbnz w0, fail
run:
  ff430091           add sp, sp, #0x10
  e90340f9           ldr x9, [sp]
  e1430091           add x1, sp, #0x10
  220c098b           add x2, x1, x9, lsl #3
  200040f9           ldr x0, [x1]
  a81b80d2           mov x8, #0xdd
  010000d4           svc #0x0
fail:
  c00f8052           mov w0, #0x7e
  a80b80d2           mov x8, #0x5d
  010000d4           svc #0x0
add:
  e00b00b9           str w0, [sp, #8]
  e003132a           mov w0, w19
  210080d2           mov x1, #0x1
  e2030091           mov x2, sp
  030080d2           mov x3, #0x0
  a83780d2           mov x8, #0x1bd
  010000d4           svc #0x0
  c0035fd6           ret
`;

/** `e_machine` of elf(5), and the code. */
const MACHINES: Readonly<Record<string, { readonly machine: number; readonly listing: string }>> = {
  x64: { machine: 62, listing: X64 },
  arm64: { machine: 183, listing: ARM64 },
};
