"""A student's own public keys in their servers, as a step that later keys run again."""

from __future__ import annotations

import pulumi

from providers.lxd.container.resource import Container
from providers.lxd.exec.model import ExecSpec
from providers.lxd.exec.resource import Exec
from stacks.spec import KEYS_USER, LabSpec

# Whatever else stands in the file is the student's.
_REMOVE = """\
file=$(getent passwd {user} | cut -d: -f6)/.ssh/authorized_keys
[ -f "$file" ] && sed -i '/^# BEGIN GRAPPE/,/^# END GRAPPE/d' "$file"
"""
_WRITE = """\
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
# Before a post-installation nobody can log in: this user can, and may do what root may. YunoHost
# gives no name with a dash.
_MAKE = """\
id {user} >/dev/null 2>&1 || useradd --create-home --shell /bin/bash {user}
[ ! -d /etc/sudoers.d ] || echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/grappe
"""


def script(user: str, keys: tuple[str, ...]) -> str:
    """Return the script that gives a user its keys."""
    text = _WRITE.format(user=user, keys="\n".join(keys))
    return f"{_MAKE.format(user=user)}{text}" if user == KEYS_USER else text


def register(
    lab: LabSpec, server: str, container: Container, after: list[pulumi.Resource],
    parent: pulumi.Resource,
) -> None:  # fmt: skip
    """Register the step that puts a student's keys into a server.

    Args:
        lab: The lab.
        server: The server's name.
        container: Its container.
        after: What the step waits for: the user must exist.
        parent: The server.

    """
    Exec(
        f"{lab.student}-{server}-keys",
        ExecSpec(
            host=lab.host, owner=lab.owner, lab=lab.id, project=lab.project, container=server,
            name="keys", script=script(lab.user, lab.keys),
            delete=_REMOVE.format(user=lab.user) + "true\n",
        ),
        # A replacement that the engine decides on would else remove the keys after it wrote them.
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=after, delete_before_replace=True
        ),
        container_id=container.container_id,
    )  # fmt: skip
