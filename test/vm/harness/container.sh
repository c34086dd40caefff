#!/bin/sh
# Boots a Debian with systemd in a container, over and over while it asks for a restart. Runs as root in mount and pid
# namespaces of its own, so that all it mounts and starts is gone with its process; only the cgroup has to be removed.
# container.sh DIRECTORY LOWER NAME: what belongs to this machine, the files that it starts from, and what it is called.
set -eu
directory=$1 lower=$2 name=$3
space=$directory/space

mkdir "$space"
mount -t tmpfs -o mode=755,size=4G space "$space"
mkdir "$space/upper" "$space/work" "$space/root" "$space/cgroup"
cp -R "$directory/files/." "$space/upper"
mount -t overlay -o "lowerdir=$lower,upperdir=$space/upper,workdir=$space/work" overlay "$space/root"

# A cgroup below that of the tests: a namespace makes it the root of what the machine sees.
mount -t cgroup2 cgroup "$space/cgroup"
own=$space/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir "$own/$name"
echo 0 > "$own/$name/cgroup.procs"
umount "$space/cgroup"

# nspawn keeps its state below /run, which is not to be the host's.
mount -t tmpfs -o mode=755 run /run
exec unshare --cgroup sh -eu -c '
mount -t cgroup2 cgroup /sys/fs/cgroup
# The filter of system calls is left out: what a sandbox of the agent forbids is to be its own doing.
export SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_TMPFS_TMP=0
while :; do
  code=0
  systemd-nspawn --quiet --directory="$1/space/root" --machine="$2" --register=no --keep-unit --private-network \
    --link-journal=no --resolv-conf=off --timezone=off --capability=CAP_LINUX_IMMUTABLE \
    --bind="$1/shared:/opt/vm/shared" --console=read-only --boot systemd.show_status=false || code=$?
  # What nspawn ends with when the machine is to boot again.
  [ $code = 133 ] || exit $code
done' sh "$directory" "$name"
