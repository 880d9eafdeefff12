#!/bin/sh
# Runs at the end of mmdebstrap, with the new root as $1: the Debian packages
# become a lab host as its teacher would have left it after `lxd init` and
# `ufw enable`.
set -eu
root=$1
rm -f "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_*
printf 'nameserver 192.0.2.1\n' > "$root/etc/resolv.conf"
printf 'lab-host\n' > "$root/etc/hostname"
printf '127.0.0.1\tlocalhost lab-host\n' > "$root/etc/hosts"
: > "$root/etc/machine-id"
# The loop devices that btrfs and LXD look for.
for n in 0 1 2 3 4 5 6 7; do
    printf 'b! /dev/loop%s 0660 root disk - 7:%s\n' "$n" "$n"
done > "$root/etc/tmpfiles.d/loop.conf"
# Kernel settings and modules are those of the machine that the sandbox is on.
for unit in systemd-sysctl systemd-modules-load systemd-networkd systemd-resolved apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer; do
    chroot "$root" systemctl disable "$unit" >/dev/null 2>&1 || true
    chroot "$root" systemctl mask "$unit" >/dev/null 2>&1 || true
done
# A link whose address changes at boot is unreachable until its neighbours forget the old one.
printf '[Match]\nOriginalName=eth*\n[Link]\nMACAddressPolicy=none\nNamePolicy=keep\n' \
    > "$root/etc/systemd/network/00-keep.link"
# A user who is not root, for hosts that are reached by `sudo -n`.
chroot "$root" useradd --create-home --shell /bin/bash teacher
printf 'teacher ALL=(ALL) NOPASSWD: ALL\n' > "$root/etc/sudoers.d/teacher"
chmod 0440 "$root/etc/sudoers.d/teacher"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
