# Debian with nginx becomes a stand-in for a YunoHost server.
systemctl enable standin-first-boot nginx ssh 2>/dev/null
# Certificate and page are each server's own, made at its first boot.
rm -f /etc/ssl/private/standin.key /etc/ssl/certs/standin.crt /var/www/html/*
# YunoHost 3 brings this user; 11.1 and later make one by the name that is given.
id admin >/dev/null 2>&1 || useradd --create-home --shell /bin/bash admin
