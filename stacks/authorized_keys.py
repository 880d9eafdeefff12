"""The script that gives a user of a server the student's own public keys; pure."""

from __future__ import annotations

# The user that has the keys before a post-installation.
KEYS_USER = "grappe-student"
# All other lines of the file belong to the student.
_REMOVE = """\
file=$(getent passwd {user} | cut -d: -f6)/.ssh/authorized_keys
[ -f "$file" ] && sed -i '/^# BEGIN GRAPPE/,/^# END GRAPPE/d' "$file"
"""
_WRITE = """\
id {user} >/dev/null 2>&1 || {{
    echo "there is no user {user} here: grappe:login names one that YunoHost has" >&2
    exit 1
}}
home=$(getent passwd {user} | cut -d: -f6)
group=$(id -gn {user})
install -d -m 0700 -o {user} -g "$group" "$home/.ssh"
file=$home/.ssh/authorized_keys
[ -f "$file" ] || install -m 0600 -o {user} -g "$group" /dev/null "$file"
sed -i '/^# BEGIN GRAPPE/,/^# END GRAPPE/d' "$file"
cat >> "$file" <<'END'
# BEGIN GRAPPE (changed by Grappe alone)
{keys}
# END GRAPPE
END
"""
# The user for logins before a post-installation, with sudo for everything. YunoHost allows no dash
# in a login, so that none of its users has this name.
_MAKE = """\
id {user} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {user}
# After a post-installation, also one by the web, YunoHost's sshd lets in its own groups alone. The
# post-installation makes them, and takes one that exists.
if command -v yunohost >/dev/null; then
    getent group ssh.app >/dev/null || groupadd ssh.app
    usermod -aG ssh.app {user}
fi
[ ! -d /etc/sudoers.d ] || echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/grappe
"""


def script(user: str, keys: tuple[str, ...]) -> str:
    """Return the script that gives a user its keys."""
    text = _WRITE.format(user=user, keys="\n".join(keys))
    return f"{_MAKE.format(user=user)}{text}" if user == KEYS_USER else text


def removal(user: str) -> str:
    """Return the script that takes the keys away again; the user and its files stay."""
    may = "rm -f /etc/sudoers.d/grappe\n" if user == KEYS_USER else ""
    return f"{_REMOVE.format(user=user)}true\n{may}"
