import { interprets, type Look, launches } from './look.ts';

/** Programs that are there in several versions, and those that only start others; undefined: it is none of these. */
export function byPattern(program: string): Look | undefined {
  const [, name] = /^([a-zA-Z]+?)(?:[-.\d][\w.+-]*)?$/.exec(program) ?? [];
  const asked = ASKED[name ?? ''] ?? [];
  if (INTERPRETERS.test(program)) return interprets(...asked);
  return LAUNCHERS.test(program) ? launches(HARMLESS[program]) : undefined;
}

/** With which short words alone a program tells its version, and does nothing else. */
const ASKED: Readonly<Record<string, readonly string[] | undefined>> = {
  __proto__: null as unknown as readonly string[],
  perl: ['-v', '-V'],
  node: ['-v'],
  ruby: ['-v'],
  php: ['-v', '-i', '-m'],
  gdb: ['-v'],
  python: ['-V'],
  java: ['-version'],
  deno: ['-V'],
  bun: ['-v'],
};

const INTERPRETERS =
  /^(?:python|pypy|ipython|perl|ruby|jruby|irb|node|nodejs|deno|bun|gjs|php|lua|luajit|tclsh|wish|expect|Rscript|R|ghci|runghc|erl|elixir|iex|groovy|scala|jshell|java|guile|racket|sbcl|clisp|ocaml|julia|octave|gnuplot|pwsh|powershell|nu|xonsh|tcc|gdb|lldb|ed|ex|vi|vim|gvim|view|nvim|rvim|vimdiff|emacs|emacsclient|joe|nano|pico|mc|m4|dc|bpftrace|stap|zsh|fish|csh|tcsh|ksh|mksh|lksh|yash|posh|sash)(?:[-.\d][\w.+-]*)?$/;

const LAUNCHERS =
  /^(?:parallel|sem|strace|ltrace|valgrind|perf|setpriv|prlimit|unshare|nsenter|systemd-run|systemd-nspawn|machinectl|run-parts|start-stop-daemon|capsh|pkexec|at|batch|screen|tmux|byobu|dtach|abduco|dbus-run-session|dbus-launch|fakeroot|proot|firejail|bwrap|ssh-agent|xvfb-run|unbuffer|rlwrap|socat|ncat|nc|netcat|cgexec|numactl|setarch|linux32|linux64|i386|x86_64|uname26|aa-exec|runcon|sg|newgrp|chpst|softlimit|daemonize|supervise|cpulimit|catchsegv|entr|inotifywait-run|npx|pnpx|bunx|uvx|pipx|corepack|lxc|lxc-attach|lxc-execute|incus|ld\.so|ld-linux.*|ld-musl.*|agent3|logsave|faketime|eatmydata|dumb-init|tini|gosu|su-exec|setuidgid|envdir|envuidgid|setlock|chronic|ifne|mispipe|annotate-output|torify|torsocks|tsocks|proxychains\d?|trickle|rr|hyperfine|daemon|openvt|startx|xinit|flatpak|snap|nix-shell|nix|guix|direnv|mise|asdf|rvm|nvm|conda|mamba|vagrant|multipass|buildah|crictl|ctr|tsp|nq|run0|systemd-cat|systemd-inhibit|systemd-socket-activate|ansible|pdsh|salt|salt-call|certbot|ssh-keygen|logrotate|tcpdump|crash|debugfs|ionotify|vipw|vigr|visudo|sudoedit|sensible-\w+|select-\w+|editor|pager|more|less|most|w3m|lynx|ftp|lftp|telnet|mail|mailx|mutt|cttyhack|uclampset|coresched|sshpass|pee|zrun|lckdo|coreutils|dpkg-architecture|openvpn|qemu-.*|rpm|savelog|sdiff|update-alternatives)$/;

/** What such programs are told every day, and run nothing with. */
const HARMLESS: Readonly<Record<string, RegExp | undefined>> = {
  __proto__: null as unknown as RegExp,
  screen: /^-(?:ls|list)$/,
  tmux: /^(?:ls|list-\w+|has-session(?: -t [\w.-]+)?)$/,
  snap: /^(?:list|info .*|version)$/,
  certbot: /^certificates$/,
  visudo: /^-c$/,
  conda: /^(?:list|env list|info)$/,
  lxc: /^(?:list|info .*)$/,
  flatpak: /^(?:list|info .*)$/,
  'ssh-keygen': /^(?!.*-[a-zA-Z]*[DwM])-(?:[lty]|lf|yf)(?: .*)?$/,
  nc: /^-[zvnu46]+(?: (?:-[zvnuw46]+|\w[\w.:-]*))*$/,
  tcpdump: /^(?!.*-(?:-|\w*[zw]))(?:-(?:i|c|nn?|v+|e|q|A|X|D|l)(?: |$)|[\w.]+(?: |$))*$/,
  less: /^[^-+][^ ]*$/,
  more: /^[^-+][^ ]*$/,
  rpm: /^(?:-qa?[il]?|-q\w*)(?: [\w.+-]+)*$/,
  'update-alternatives': /^--(?:list|display|query) [\w.-]+$/,
  perf: /^--version$/,
  systemctl: /^$/,
};
