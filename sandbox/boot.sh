#!/bin/sh
# Boots a machine. Runs inside its network namespace and a mount namespace of
# its own (`ip netns exec NAME unshare -m sh boot.sh DISK ROOT NAME SEED HOSTNAME
# SECOND_DISK`), so that its mounts go when its last process goes.
set -eu
disk=$1 root=$2 machine=$3 seed=$4 hostname=$5 second=$6
mount --make-rprivate /
mkdir -p "$root"
# btrfs mounts a mirrored root only once the kernel knows both disks.
if [ -n "$second" ]; then
    losetup --associated "$second" | grep -q . || losetup --find "$second"
    btrfs device scan >/dev/null 2>&1 || true
fi
mount -o loop,noatime "$disk" "$root"
# This machine's own files: its host keys and its authorized keys.
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
exec systemd-nspawn --quiet --directory="$root" --machine="$machine" --hostname="$hostname" \
    --keep-unit --register=no --capability=all --private-users=no --boot --console=pipe \
    --bind=/dev/loop-control
