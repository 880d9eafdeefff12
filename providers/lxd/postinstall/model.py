"""What a post-installation is, and the arguments that an installed version takes."""

from __future__ import annotations

import dataclasses
import re
import shlex
from typing import ClassVar

from providers import rules, wire
from providers.lxd.job import Job

INSTALLED = "/etc/yunohost/installed"
DOMAIN_FILE = "/etc/yunohost/current_host"
# Who administers it where the version asks for no user.
ADMIN = "admin"
HELP_SECONDS = 60
# The password goes from standard input into the program's own list of arguments, inside the
# process: no argv of any process shows it. Python 2 and 3, whichever YunoHost itself runs on.
_PROGRAM = """\
import runpy, sys
password = sys.stdin.readline().rstrip("\\n")
sys.argv = sys.argv[1:] + ["--password=" + password]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_SCRIPT = """\
path=$(command -v yunohost) || {{ echo "yunohost is not installed here" >&2; exit 127; }}
interpreter=$(head -n 1 "$path" | sed 's/^#! *//')
exec $interpreter -c {program} "$path" {arguments}
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostInstallSpec(wire.Spec):
    """A post-installation.

    Attributes:
        project: The server's LXD project.
        container: The server.
        container_id: The container's own id; another container is post-installed anew.
        domain: The server's main domain.
        login: The administrator, where the version makes one; `admin` where it does not.
        password: The administrator's password.
        timeout: Seconds that it may take.
    """

    MARKED: ClassVar[bool] = False

    REPLACES: ClassVar[frozenset[str]] = frozenset({"owner", "name", "project", "container"})
    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})

    project: str
    container: str
    domain: str
    password: str
    login: str = ADMIN
    container_id: str = ""
    timeout: int = 1800

    @property
    def id(self) -> str:
        """The natural id: the server."""
        return f"{self.project}/{self.container}/postinstall"

    def mistakes(self) -> list[wire.Mistake]:
        """Return what is wrong with the values; the password is not shown."""
        checks = [
            ("container", self.container, rules.name(self.container)),
            ("domain", self.domain, rules.domain(self.domain)),
            ("login", self.login, rules.login(self.login)),
        ]
        found = wire.collect(checks)
        if not self.password or "\n" in self.password:
            found.append(wire.Mistake("password", "is empty, or has a line break in it."))
        return found


def takes_user(help_text: str) -> bool:
    """Whether an installed version makes a user of its own as administrator (11.1 and later)."""
    return "--username" in _options(help_text)


def arguments(help_text: str, spec: PostInstallSpec) -> list[str]:
    """Return the arguments that an installed version takes, but for the password.

    Args:
        help_text: What `yunohost tools postinstall --help` printed.
        spec: The post-installation.

    """
    options = _options(help_text)
    found = ["tools", "postinstall", "--domain", spec.domain]
    if "--username" in options:
        found += ["--username", spec.login]
    if "--fullname" in options:
        found += ["--fullname", spec.login.capitalize()]
    wanted = ("--ignore-dyndns", "--force-diskspace", "--i-have-read-terms-of-services")
    return found + [option for option in wanted if option in options]


def job(help_text: str, spec: PostInstallSpec) -> Job:
    """Return what is to be run."""
    script = _SCRIPT.format(
        program=shlex.quote(_PROGRAM), arguments=shlex.join(arguments(help_text, spec))
    )
    return Job(script=script, stdin=f"{spec.password}\n", timeout=spec.timeout, creates=INSTALLED)


def _options(help_text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", help_text))
