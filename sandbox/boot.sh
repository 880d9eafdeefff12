#!/bin/sh
# Boots the lab host. Runs inside its network namespace and a mount namespace
# of its own (`ip netns exec HOST unshare -m sh boot.sh DISK ROOT MACHINE SEED`),
# so that its mounts go when its last process goes.
set -eu
disk=$1 root=$2 machine=$3 seed=$4
mount --make-rprivate /
mkdir -p "$root"
mount -o loop,noatime "$disk" "$root"
# What is this host's own: host keys, and who may enter.
cp -r "$seed/." "$root/"
chmod 0600 "$root"/etc/ssh/ssh_host_*_key
chown -R "$(stat -c %u:%g "$root/home/teacher")" "$root/home/teacher"
# LXD's containers exit with 255 on a hybrid v1 tree: a private cgroup2 alone.
umount -R /sys/fs/cgroup 2>/dev/null || true
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# systemd-nspawn wants a cgroup that nobody else is in.
mkdir -p "/sys/fs/cgroup/$machine"
echo $$ > "/sys/fs/cgroup/$machine/cgroup.procs"
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=1 SYSTEMD_SECCOMP=0
exec systemd-nspawn --quiet --directory="$root" --machine="$machine" --hostname=lab-host \
    --keep-unit --register=no --capability=all --private-users=no --boot --console=pipe \
    --bind=/dev/loop-control
