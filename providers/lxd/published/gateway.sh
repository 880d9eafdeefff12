#!/bin/sh
# Made by Grappe, before each start of fail2ban: everybody's page comes through the bridge's own
# address, and who bans that bans everybody.
gateway=$(ip -4 route show default | awk '{print $3; exit}')
[ -n "$gateway" ] || exit 0
printf '[DEFAULT]\nignoreip = 127.0.0.1/8 ::1 %s\n' "$gateway" > /etc/fail2ban/jail.d/grappe.conf
