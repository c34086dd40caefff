/** They run what follows their options and the values of those, one of which may look like the name of a secret. */
const RUNNERS: ReadonlySet<string> = new Set([
  ...['sudo', 'doas', 'pkexec', 'su', 'runuser', 'gosu', 'su-exec', 'setpriv', 'capsh', 'chroot', 'unshare', 'nsenter'],
  ...['env', 'exec', 'command', 'builtin', 'eval', 'nohup', 'setsid', 'time', 'timeout', 'watch', 'entr', 'script'],
  ...['xargs', 'parallel', 'flock', 'nice', 'ionice', 'chrt', 'taskset', 'numactl', 'prlimit', 'cgexec', 'stdbuf'],
  ...['unbuffer', 'setarch', 'bwrap', 'firejail', 'fakeroot', 'proot', 'faketime', 'busybox', 'dumb-init', 'tini'],
  ...['systemd-run', 'systemd-inhibit', 'start-stop-daemon', 'strace', 'ltrace', 'gdb', 'valgrind', 'perf'],
  ...['ssh', 'autossh', 'mosh', 'sshpass', 'torsocks', 'proxychains', 'proxychains4'],
  ...['sh', 'bash', 'dash', 'zsh', 'ksh', 'ash', 'fish', 'csh', 'tcsh'],
]);

/** Options without a value, of sudo: what follows is the program already. */
const SUDO_SWITCH = /^-[nEHkKbSAPis]+$/;

/** They make one command of their words, and quotes around those have no meaning in it. */
const JOINER = /(?:^|[\s;&|(`"'/])(?:eval|ssh|watch)\s/;

/**
 * Whether the word that begins behind `lead` is an argument like others, and so is the next: no file of a redirection,
 * no rest of a word before, no option of a program that runs what follows. `isAll`: nothing stands before `lead`.
 */
export function isArgumentAfter(lead: string, isAll: boolean): boolean {
  if (/\\\s*$/.test(lead)) return false;
  const words = lead
    .replace(/\\\n/g, '')
    .replace(/"[^"]*"|'[^']*'/g, (one) => one.slice(1, -1).replace(/[^\w=-]/g, '_'));
  return isPlainAfter(words, isAll) && isQuotedArgumentAfter(lead, isAll);
}

/** The same for a word that stands in quotes: it is one word for all but what makes one command of words. */
export function isQuotedArgumentAfter(lead: string, isAll: boolean): boolean {
  return !JOINER.test(lead) || isPlainAfter(lead.replace(/\\\n|\\?["']/g, ''), isAll);
}

/** The same where no quotes are in `lead`. */
function isPlainAfter(lead: string, isAll: boolean): boolean {
  // In the middle of a name a backslash means nothing.
  const words = lead.replace(/\\(?=\w)/g, '');
  return !/(?:\\|[<>][&|]?)\s*$/.test(words) && !isOfRunner(words, isAll);
}

/** Whether `lead` ends with a program that runs what follows its options, and with nothing but those. */
function isOfRunner(lead: string, isAll: boolean): boolean {
  const plain = lead.replace(/\d*&?[<>]{1,3}[&|]?\s*\S+/g, ' ').trimEnd();
  const begin = plain.search(/[^;&|\n(`]*$/);
  const words = plain.slice(begin).split(/\s+/);
  const at = words.findLastIndex((word) => RUNNERS.has(nameOf(word)));
  if (at === -1 && (isAll || begin > 0)) return false;
  const isSudo = /^(?:sudo|doas)$/.test(nameOf(words[at] ?? ''));
  // Where its beginning cannot be seen, the first word may be a part of one, and the next a value.
  const options = words.slice(at === -1 ? 1 : at + 1);
  return options.every((word, index) => {
    const last = options[index - 1] ?? (at === -1 ? '-' : '');
    return /^-|=/.test(word) || (last.startsWith('-') && !(isSudo && SUDO_SWITCH.test(last)));
  });
}

/** The end of a word, which may stand in a directory, and in quotes or brackets. */
function nameOf(word: string): string {
  return /[\w-]*$/.exec(word)?.[0] ?? '';
}
