/** Programs that run what some of their words say, each in a way of its own; they are not read. */
interface Runner {
  readonly programs: RegExp;
  /** What it runs stands behind words that fit this. */
  readonly behind: RegExp;
  /** Its words are a command, not a text within one of them. */
  readonly runsWords: boolean;
}

const RUNNERS: readonly Runner[] = (
  [
    [
      /^git$/,
      /(?:^| )(?:-c *\S+=|--exe[a-z-]*|config |bisect run|submodule fo\S*|rebase .*-\w*x|filter-branch|difftool|mergetool|--upload|--receive|-u|-O|--open\S*?=|--config-env)/,
      false,
    ],
    [
      /^(?:docker|podman|nerdctl|kubectl|docker-compose|buildah|crictl|lxc|incus|ip)$/,
      /(?:^| )(?:run|e|ex|exe|exec|debug)(?= )/,
      true,
    ],
    [
      /^(?:npm|pnpm|yarn|cargo|go|bundle|poetry|pipenv|uv|conda|mamba|nix|mise|direnv|vagrant)$/,
      /(?:^| )(?:exe|exec|x|dlx|run|dev\w*|shell|-c)(?= )/,
      true,
    ],
    [
      /^(?:npx|pnpx|bunx|uvx|pipx|valgrind|perf|setpriv|prlimit|systemd-nspawn|machinectl|run-parts|start-stop-daemon|capsh|pkexec|screen|tmux|byobu|dtach|abduco|dbus-\w+|proot|firejail|bwrap|ssh-agent|xvfb-run|unbuffer|rlwrap|socat|ncat|nc|netcat|cgexec|numactl|setarch|linux(?:32|64)|i386|x86_64|aa-exec|runcon|sg|newgrp|chpst|softlimit|daemonize|daemon|cpulimit|entr|flatpak|snap|ld\.so|ld-linux.*|ld-musl.*|logsave|faketime|dumb-init|tini|setuidgid|env(?:u)?dir|setlock|ifne|mispipe|annotate-output|torify|torsocks|tsocks|proxychains\d?|trickle|rr|hyperfine|openvt|xinit|systemd-cat|ansible|pdsh|salt|certbot|logrotate|tcpdump|crash|debugfs|pee|coreutils|cttyhack|dpkg-architecture|run0|agent3|inotifywait|update-alternatives)$/,
      /^/,
      true,
    ],
    [
      /^(?:python|pypy|ipython|perl|ruby|jruby|irb|node|nodejs|deno|bun|php|lua|luajit|tclsh|wish|expect|Rscript|R|groovy|scala|guile|ocaml|julia|octave|gnuplot|pwsh|nu|xonsh|gdb|lldb|ed|ex|vi|vim|view|nvim|rvim|vimdiff|emacs|nano|m4|dc|bpftrace|stap|[gmno]?awk|original-awk|sed)(?:[-.\d][\w.+-]*)?$/,
      /^/,
      false,
    ],
    [
      /^(?:tar|make|gmake|cmake|rsync|scp|sftp|apt|apt-get|dpkg|sqlite3|psql|mysql|mariadb|service|gcc|g\+\+|cc|fd|fdfind|rg|diff3|wget|zip|man|less|split|sort|install|cpio|iptables|ip6tables|hg|svn|mapfile|readarray|jobs|compgen|complete|bind|fc)$/,
      /^/,
      false,
    ],
  ] as readonly (readonly [RegExp, RegExp, boolean])[]
).map(([programs, behind, runsWords]) => ({ programs, behind, runsWords }));

/** How a program runs what some of its words say; undefined: it does not, as far as is known. */
export function runnerFor(program: string): Runner | undefined {
  return RUNNERS.find(({ programs }) => programs.test(program));
}
