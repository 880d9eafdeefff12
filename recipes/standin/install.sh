# Debian with nginx becomes a stand-in for a YunoHost server.
systemctl enable standin-first-boot yunohost-api yunohost-portal-api nginx ssh dnsmasq 2>/dev/null
# It asks its own DNS from the start, as the real one does. The post-installation turns on the jails.
systemctl disable --now fail2ban 2>/dev/null || true
systemctl disable --now systemd-resolved 2>/dev/null || true
rm -f /etc/resolv.conf
echo "nameserver 127.0.0.1" > /etc/resolv.conf
cp /usr/share/yunohost/conf/dnsmasq.conf /etc/dnsmasq.conf
# An address of documentation: where the real one asks, a lab has often no way to.
echo "nameserver 192.0.2.53" > /etc/resolv.dnsmasq.conf
# What YunoHost's installation leaves in an image, and no two servers may share.
mkdir -p /usr/share/yunohost/ssl/ca /usr/share/yunohost/hooks/conf_regen \
    /etc/yunohost/certs/yunohost.org /etc/fail2ban/jail.d /etc/dnsmasq.d
cat > /usr/share/yunohost/hooks/conf_regen/02-ssl <<'HOOK'
#!/usr/bin/env bash
# A stand-in for YunoHost's: it makes an authority and a certificate where there are none.
set -eu
ssl=/usr/share/yunohost/ssl certs=/etc/yunohost/certs/yunohost.org
mkdir -p "$ssl/ca"
[ -f "$certs/ca.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -days 3650 -subj /CN=yunohost.org -keyout "$ssl/ca/cakey.pem" -out "$certs/ca.pem"
[ -f "$certs/key.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -days 730 -subj /CN=yunohost.org -keyout "$certs/key.pem" -out "$certs/crt.pem"
chmod 0640 "$ssl/ca/cakey.pem" "$certs/key.pem"
HOOK
bash /usr/share/yunohost/hooks/conf_regen/02-ssl init
head -c 18 /dev/urandom | base64 > /etc/postsrsd.secret
chmod 0400 /etc/postsrsd.secret
