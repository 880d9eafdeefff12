#!/bin/sh
# Runs at the end of mmdebstrap, with the new root as $1 and this folder as $2:
# a small Debian becomes a stand-in for a YunoHost server.
set -eu
root=$1 here=$2
install -m 0755 "$here/yunohost" "$root/usr/bin/yunohost"
install -m 0755 "$here/first-boot" "$root/usr/local/sbin/standin-first-boot"
install -m 0644 "$here/standin-first-boot.service" "$root/etc/systemd/system/"
install -m 0644 "$here/nginx.conf" "$root/etc/nginx/sites-available/default"
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n' \
    > "$root/etc/systemd/network/eth0.network"
chroot "$root" systemctl enable systemd-networkd standin-first-boot nginx ssh >/dev/null 2>&1
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer systemd-networkd-wait-online; do
    chroot "$root" systemctl mask "$unit" >/dev/null 2>&1
done
chroot "$root" useradd --create-home --shell /bin/bash admin
for home in root home/admin; do
    mkdir -p -m 0700 "$root/$home/.ssh"
    install -m 0600 "$here/authorized_keys" "$root/$home/.ssh/authorized_keys"
done
chroot "$root" chown -R admin:admin /home/admin/.ssh
# Each server makes its own at first boot.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/var/lib/dbus/machine-id "$root"/etc/hostname
: > "$root/etc/machine-id"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/usr/share/doc/* "$root"/usr/share/locale/*
