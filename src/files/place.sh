# Run by sh(1) in the isolation of a profile: src/files/isolated.ts talks to it. It works on one name in one directory.
# $1 directory, $2 name, $3 the most bytes that are read as a whole, $4 and $5 the range that is read of a larger file;
# where $5 is empty, nothing is read.

# 1. It enters the directory, or the nearest one above it, and writes what is there, each with a NUL behind it: its real
# path, what is missing below it, what bears the name, and where a link leads.
d=$1 n=$2 rest=
until cd -P -- "$d" 2> /dev/null; do
  if [ -d "$d" ]; then why='permission denied'
  elif [ -e "$d" ] || [ -L "$d" ]; then why='it is not a directory'
  else why=
  fi
  [ -z "$why" ] && [ "$d" != / ] || { printf '%s' "$why" >&2; exit 11; }
  rest=${d##*/}${rest:+/$rest} d=${d%/*}
  d=${d:-/}
done
format='%f %s %u %g %h %d %i %.9Y %.9Z'
seen= target=
if [ -z "$rest" ]; then
  [ ! -L "./$n" ] || target=$(readlink -- "./$n")
  if [ -e "./$n" ] || [ -L "./$n" ]; then seen=$(stat -c "$format" -- "./$n") || exit 11; fi
fi
printf '%s\0%s\0%s\0%s\0' "$PWD" "$rest" "$seen" "$target"

# 2. It writes the content of a file. dd(1) opens no link and waits for no pipe; then it says how much that was.
case ${5:+$seen} in 8???\ *)
  size=${seen#* } skip=0 count=$(($3 + 1))
  size=${size%% *}
  if [ "$size" -gt "$3" ]; then
    skip=$4 count=$5
    [ "$skip" -ge 0 ] || skip=$((size + skip))
    [ "$skip" -ge 0 ] || skip=0
  fi
  dd if="./$n" iflag=nofollow,nonblock,skip_bytes,count_bytes bs=65536 skip="$skip" count="$count" || exit 12
  ;;
esac

# 3. It waits for what to do: a verb, the bytes that follow, a umask, a mode, an owner and a group (a dash where they are
# not set), the name of the temporary file, and the SHA-256 of the bytes. For remove the number is that of the empty
# directories that go too.
read -r verb bytes mask mode owner group new sum || exit 0
# What was to be done is done: the agent need not wait for the end of the sandbox.
finish() {
  printf 'ok\0'
  exit 0
}
if [ "$verb" = remove ]; then
  [ "$(stat -c "$format" -- "./$n" 2> /dev/null)" = "$seen" ] || exit 13
  rm -f -- "./$n" || exit 14
  while [ "$bytes" -gt 0 ]; do
    part=${PWD##*/} bytes=$((bytes - 1))
    cd -P .. && rmdir -- "./$part" 2> /dev/null || finish
  done
  finish
fi
fail() {
  rm -f -- "./$new"
  exit "$1"
}
# One directory after the other: a link that has come meanwhile leads to another real path.
while [ -n "$rest" ]; do
  part=${rest%%/*} top=${PWD%/}
  case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
  [ -d "./$part" ] || mkdir -- "./$part" || [ -d "./$part" ] || exit 14
  cd -P -- "./$part" || exit 14
  [ "$PWD" = "$top/$part" ] || exit 13
done
[ "$mask" = - ] || umask "$mask"
dd of="./$new" oflag=nofollow conv=excl,fsync iflag=fullblock,count_bytes bs=65536 count="$bytes" status=none
case $? in
  0) ;;
  153) fail 153 ;;
  *) fail 14 ;;
esac
[ "$owner" = - ] || [ -O "./$n" ] || chown -- "$owner" "./$new" || fail 15
[ "$group" = - ] || { [ -G "./$n" ] && [ ! -g . ]; } || chgrp -- "$group" "./$new" || fail 15
# Nobody has written to it meanwhile, or put another in its place.
if [ -L "./$new" ] || [ "$(sha256sum < "./$new")" != "$sum  -" ]; then
  [ "$(stat -c %s -- "./$new")" -ge "$bytes" ] || fail 16
  fail 13
fi
[ "$mode" = - ] || chmod -- "$mode" "./$new" || fail 14
if [ -n "$seen" ]; then
  [ "$(stat -c "$format" -- "./$n" 2> /dev/null)" = "$seen" ] || fail 13
  mv -T -f -- "./$new" "./$n" || fail 14
else
  mv -T -n -- "./$new" "./$n" || fail 14
  [ ! -e "./$new" ] || fail 13
fi
finish
