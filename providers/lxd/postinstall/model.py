"""What a post-installation is, and the arguments that an installed version takes."""

from __future__ import annotations

import dataclasses
import enum
import re
import shlex
from collections.abc import Sequence
from typing import ClassVar

from core import codec, problems, validators
from providers.lxd.job import Job

INSTALLED = "/etc/yunohost/installed"
DOMAIN_FILE = "/etc/yunohost/current_host"
# YunoHost touches INSTALLED in the middle, 70 seconds before its end. That it is whole, our mark
# says after an exit status of 0, or its own record, which one by the web has too.
MARK = "/etc/yunohost/.grappe-postinstalled"
# Without a dot in its name, which dnsmasq's default leaves out; `regen-conf` leaves it alone.
NAMES = "/etc/dnsmasq.d/grappe"
NAMES_FOLDER = "/etc/dnsmasq.d"
# Everybody's page comes from the bridge's own address: who bans that bans everybody. An image that
# Grappe publishes writes it at its servers' first boot (`published/gateway.sh`); others do not.
JAIL = "/etc/fail2ban/jail.d/grappe.conf"
JAIL_FOLDER = "/etc/fail2ban/jail.d"
RECORDS = "/var/log/yunohost/operations"
# Who administers it where the version asks for no user.
ADMIN = "admin"
HELP_SECONDS = 60
CHANGE_SECONDS = 120
# The services of a post-installed YunoHost that a student meets. A disabled one is skipped.
SERVICES = ("nginx", "yunohost-api", "dnsmasq", "fail2ban")
# `regen-conf --force` leaves a changed sshd_config alone unless it is named, and without it every
# user of YunoHost may log in by ssh.
FINISH = "yunohost tools regen-conf --force\nyunohost tools regen-conf ssh --force\n"
# Prints a line for each service that should run and does not, and the main domain where nginx has
# no page of it; and starts what does not run, where it is told to.
_INSIDE = f"""\
for unit in {" ".join(SERVICES)}; do
    systemctl is-enabled --quiet $unit 2>/dev/null || continue
    systemctl is-active --quiet $unit && continue
    if [ "$1" = start ] && systemctl restart $unit 2>/dev/null; then continue; fi
    echo "$unit does not run"
    if [ "$1" = start ]; then journalctl -q -n 3 -o cat -u $unit; fi
done
domain=$(cat {DOMAIN_FILE} 2>/dev/null)
test -z "$domain" || test -e "/etc/nginx/conf.d/$domain.conf" ||
    echo "nginx has no page of $domain (yunohost tools regen-conf nginx --force)"
"""
# Of a common name, by X.509.
MAX_DOMAIN = 64
# The password goes from standard input into the program's own list of arguments, inside the
# process: no argv of any process shows it. Python 2 and 3, whichever YunoHost itself runs on.
_PROGRAM = """\
import runpy, sys
password = sys.stdin.readline().rstrip("\\n")
option = sys.argv.pop(1)
sys.argv = sys.argv[1:] + [option + "=" + password]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_SCRIPT = """\
path=$(command -v yunohost) || {{ echo "yunohost is not installed here" >&2; exit 127; }}
interpreter=$(head -n 1 "$path" | sed 's/^#! *//')
exec $interpreter -c {program} {option} "$path" {arguments}
"""


class Stage(enum.Enum):
    """How far a post-installation is."""

    ABSENT = "absent"
    INTERRUPTED = "interrupted"
    DONE = "done"
    # YunoHost's own sign of it was removed.
    LOST = "lost"


DRIFTS = {
    Stage.INTERRUPTED: "its post-installation was interrupted: YunoHost records no success of it",
    Stage.LOST: f"{INSTALLED} is not there, and it was post-installed",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostInstallSpec(codec.Spec):
    """A post-installation.

    Attributes:
        project: The server's LXD project.
        container: The server.
        container_id: The container's own id; another container is post-installed anew.
        domain: The server's main domain.
        login: The administrator, where the version makes one; `admin` where it does not.
        password: The administrator's password.
        timeout: Seconds that it may take.
        resolver: The bridge's DNS, which knows the lab's domains; YunoHost's own asks it of them.
        neighbours: The domains of the lab's other servers.
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
    resolver: str = ""
    neighbours: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The natural id: the server."""
        return f"{self.project}/{self.container}/postinstall"

    def mistakes(self) -> list[problems.Mistake]:
        """Return what is wrong with the values; the password is not shown."""
        checks = [
            ("container", self.container, validators.problem_of_name(self.container)),
            ("domain", self.domain, domain_problem(self.domain)),
            ("login", self.login, validators.problem_of_login(self.login)),
        ]
        found = problems.collect(checks)
        if not self.password or "\n" in self.password:
            found.append(problems.Mistake("password", "is empty, or has a line break in it."))
        return found


def jail_file(spec: PostInstallSpec) -> bytes:
    """Return what tells YunoHost's fail2ban to let the bridge in, whoever guesses through it."""
    return f"[DEFAULT]\nignoreip = 127.0.0.1/8 ::1 {spec.resolver}\n".encode()


def names_file(domains: Sequence[str], resolver: str) -> bytes:
    """Return what a server's own dnsmasq reads of the lab's servers.

    Args:
        domains: Their domains.
        resolver: The bridge's address, whose DNS knows them.

    """
    lines = [f"server=/{domain}/{resolver}\n" for domain in domains if resolver]
    return "".join(["# Made by Grappe: the lab's servers.\n", *lines]).encode()


def names_script(domains: Sequence[str], resolver: str) -> str:
    """Return the script that writes `names_file` in a server with a dnsmasq of its own."""
    text = names_file(domains, resolver).decode()
    return (
        f"[ -d {NAMES_FOLDER} ] || exit 0\n"
        f"cat > {NAMES} <<'END'\n{text}END\n"
        f"systemctl try-restart dnsmasq\n"
    )


def looks_inside(*, start: bool = False) -> list[str]:
    """Return the argv that says what of a post-installed YunoHost does not serve, a line each.

    Args:
        start: Whether services that do not run are started first.

    """
    return ["sh", "-c", _INSIDE, "sh", "start" if start else "look"]


def is_record(name: str) -> bool:
    """Whether a file of YunoHost's records is that of a post-installation."""
    return "tools_postinstall" in name and name.endswith(".yml") and not name.startswith(".")


def stage(records: Sequence[str], *, installed: bool, marked: bool) -> Stage:
    """Return how far a post-installation is.

    Args:
        records: What YunoHost wrote of each try, as YAML.
        installed: Whether `INSTALLED` is there; without a mark or a record it is taken for done.
        marked: Whether our `MARK` is there.

    """
    whole = marked or any(re.search(r"^success: true$", text, re.MULTILINE) for text in records)
    if not installed:
        return Stage.LOST if whole else Stage.ABSENT
    return Stage.DONE if whole or not records else Stage.INTERRUPTED


def cannot_go_on(said: str) -> bool:
    """Whether YunoHost refuses because an earlier try had made its user already."""
    return bool(re.search(r"Username already exists|user .* already exists", said, re.IGNORECASE))


def domain_problem(domain: str) -> str:
    """Check the main domain of a YunoHost: its certificate's common name has at most 64 bytes."""
    if len(domain) > MAX_DOMAIN:
        return f"has {len(domain)} characters; a certificate takes {MAX_DOMAIN}. A shorter one?"
    return validators.problem_of_domain(domain)


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
        found += ["--fullname", full_name(spec.login)]
    wanted = ("--ignore-dyndns", "--force-diskspace", "--i-have-read-terms-of-services")
    return found + [option for option in wanted if option in options]


def full_name(login: str) -> str:
    """Return a full name that YunoHost takes: words of 1 to 30 letters, spaces between."""
    return " ".join(word.capitalize()[:30] for word in re.split("[^a-z0-9]+", login) if word)


def job(help_text: str, spec: PostInstallSpec) -> Job:
    """Return what is to be run."""
    script = _with_password("--password", arguments(help_text, spec))
    return Job(script=script, stdin=f"{spec.password}\n", timeout=spec.timeout, creates=INSTALLED)


def change_of_password(spec: PostInstallSpec, login: str) -> Job:
    """Return what gives the administrator the password that the stack file has now."""
    script = _with_password("--change-password", ["user", "update", login])
    return Job(script=script, stdin=f"{spec.password}\n", timeout=CHANGE_SECONDS)


def _with_password(option: str, words: Sequence[str]) -> str:
    return _SCRIPT.format(program=shlex.quote(_PROGRAM), option=option, arguments=shlex.join(words))


def _options(help_text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", help_text))
