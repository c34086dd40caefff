/** The scripts that the harness itself runs in the machine. */

/** `text` as one word for the shell. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * Sets the clock of a machine that resumes from a snapshot to `seconds` since 1970. Timers that would find that they
 * have missed their hour, and would all run in the middle of a test, are told that they have just run.
 */
export function clockScript(seconds: number): string {
  return `cd /var/lib/systemd/timers
timers=$(ls | sed -n 's/^stamp-//p')
[ -z "$timers" ] || systemctl stop $timers
date -s @${seconds} > /dev/null
touch stamp-*.timer
[ -z "$timers" ] || systemctl start $timers`;
}

/**
 * Repeats `script` until it succeeds, for at most `seconds`; ends with its last output and exit code. Under emulation a
 * look takes the machine 0.1 s of CPU and more: looks that follow each other close would slow down what they wait for, so
 * the pauses grow from 0.4 s to 1.5 s.
 */
export function untilScript(script: string, seconds: number): string {
  return `directory=$(mktemp -d)
trap 'rm -r "$directory"' EXIT
while :; do
  (
${script}
  ) > "$directory/out" 2> "$directory/err"
  code=$?
  [ $code = 0 ] || [ $SECONDS -ge ${seconds} ] && break
  pause=$((SECONDS < 11 ? 400 + SECONDS * 100 : 1500))
  printf -v pause '%d.%03d' $((pause / 1000)) $((pause % 1000))
  sleep $pause
done
cat "$directory/out"
cat "$directory/err" >&2
exit $code`;
}

/**
 * Copies the first `size` bytes of the disk with the serial number `serial` to `path`, and onto the machine's disk. Past
 * the machine's memory, which is four times as fast under emulation; a disk is made of sectors, so the end is cut. For a
 * moment, a new disk has a name and cannot be opened. The machine lets go of it before it is unplugged.
 */
export function copyScript(serial: string, size: number, mode: number, path: string): string {
  const target = quote(path);
  return `set -e
for try in $(seq 500); do
  found=$(grep -ls ${serial} /sys/block/sd*/device/vpd_pg80) && name=\${found#/sys/block/} && disk=/dev/\${name%%/*} &&
    ( : < "$disk" ) 2> /dev/null && break
  sleep 0.02
done
mkdir -p "$(dirname ${target})"
dd if="$disk" of=${target} bs=4M iflag=direct oflag=direct status=none
truncate -s ${size} ${target}
chmod ${(mode & 0o7777).toString(8)} ${target}
sync ${target}
echo 1 > "\${found%/*}/delete"`;
}
