#!/bin/sh
# Made by Grappe: what a clone makes at its first boot, so that no two servers share a secret.
set -u
for kind in ecdsa ed25519; do
    # Without RSA, whose keys take a second of a processor each.
    key=/etc/ssh/ssh_host_${kind}_key
    [ -e "$key" ] || ssh-keygen -q -t "$kind" -N "" -f "$key"
done
certs=/etc/yunohost/certs/yunohost.org
hook=/usr/share/yunohost/hooks/conf_regen/02-ssl
if [ -e "$hook" ] && [ ! -e /etc/yunohost/installed ]; then
    # The authority and the certificate that YunoHost's installation made, with their private keys.
    rm -rf /usr/share/yunohost/ssl "$certs/ca.pem" "$certs/crt.pem" "$certs/key.pem"
    bash "$hook" init
fi
if command -v make-ssl-cert >/dev/null; then
    DEBIAN_FRONTEND=noninteractive make-ssl-cert generate-default-snakeoil --force-overwrite
fi
if [ -e /etc/postsrsd.secret ]; then
    head -c 18 /dev/urandom | base64 > /etc/postsrsd.secret
    chmod 0400 /etc/postsrsd.secret
fi
# What the machine that the image was made on wrote down, and its seed of random numbers.
for journal in /var/log/journal/*; do
    [ "${journal##*/}" = "$(cat /etc/machine-id)" ] || rm -rf "$journal"
done
rm -f /var/log/yunohost-installation_*.log /var/log/nginx/*.log.* /root/.rnd
for log in /var/log/nginx/access.log /var/log/nginx/error.log /var/log/apt/term.log; do
    [ ! -e "$log" ] || : > "$log"
done
exit 0
