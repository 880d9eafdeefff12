#!/bin/sh
# Runs at the end of mmdebstrap, with the new root as $1: the Debian packages
# become a machine of a sandbox. What follows are packages that it is to have
# in a folder, for its own apt.
set -eu
root=$1
shift
if [ $# -gt 0 ]; then
    # All that they need, with what has been mended since the release.
    chroot "$root" apt-get -q update >/dev/null
    chroot "$root" apt-get -q -y --download-only --no-install-recommends install "$@" >/dev/null
    mkdir -p "$root/srv/packages"
    mv "$root"/var/cache/apt/archives/*.deb "$root/srv/packages/"
    (cd "$root/srv/packages" && apt-ftparchive packages . > Packages)
    rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
    printf 'deb [trusted=yes] file:/srv/packages ./\n' > "$root/etc/apt/sources.list"
fi
rm -f "$root/etc/resolv.conf" "$root"/etc/ssh/ssh_host_*
printf 'nameserver 192.0.2.1\n' > "$root/etc/resolv.conf"
: > "$root/etc/machine-id"
# The loop devices that btrfs and LXD look for.
for n in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
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
