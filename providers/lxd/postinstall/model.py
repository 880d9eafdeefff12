"""The spec of a post-installation, and the arguments that an installed version takes."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import hmac
import re
import secrets
import shlex
from collections.abc import Sequence
from typing import ClassVar

from core import problems, validators
from core.names import INSTALLED
from providers.lxd.inside_spec import InsideSpec
from providers.lxd.script import Script

# YunoHost touches INSTALLED in the middle, 70 seconds before its end. Our mark, made after exit
# status 0, or YunoHost's own record, also of one by the web, proves that it is complete. It holds a
# salted digest of the password that Grappe set: a snapshot may bring back an older one.
MARK = "/etc/yunohost/.grappe-postinstalled"
# No dot in its name, since dnsmasq's default skips such files; `regen-conf` leaves it alone.
NAMES = "/etc/dnsmasq.d/grappe"
NAMES_FOLDER = "/etc/dnsmasq.d"
# Everybody's requests come from the bridge's own address: a ban of it bans everybody. Servers of an
# image that Grappe publishes write it at their first boot (`published/gateway.sh`); others do not.
JAIL = "/etc/fail2ban/jail.d/grappe.conf"
JAIL_FOLDER = "/etc/fail2ban/jail.d"
# The second before YunoHost 12, where it is a link to the first.
RECORDS = ("/var/log/yunohost/operations", "/var/log/yunohost/categories/operation")
# The administrator of versions that take no user.
ADMIN = "admin"
HELP_SECONDS = 60
# A killed run's post-installation goes on, and the next run's first program waits for its end.
EARLIER_SECONDS = 1800
CHANGE_SECONDS = 120
# YunoHost enables its firewall after it has touched INSTALLED, and never again; before version 12
# the service had another name. `regen-conf --force` leaves a changed sshd_config alone unless it is
# named, and without it every user of YunoHost may log in by ssh. It prints 150 lines.
FINISH = """\
for firewall in nftables yunohost-firewall; do
    yunohost service enable $firewall >/dev/null 2>&1 && break
done
yunohost tools regen-conf --force >/dev/null
yunohost tools regen-conf ssh --force >/dev/null
"""
# X.509's limit of a common name.
MAX_DOMAIN = 64
# The program reads the password from standard input into its own list of arguments: no argv of any
# process shows it. Python 2 and 3, whichever YunoHost itself runs on.
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
$interpreter -c {program} {option} "$path" {arguments} || exit
"""


# YunoHost's users are LDAP's: with slapd or nslcd stopped nobody is known, and the server must not
# look like somebody else's.
_HAS_USER = """\
getent passwd {login} >/dev/null && exit 0
for unit in slapd nslcd; do
    if systemctl is-enabled --quiet $unit 2>/dev/null; then systemctl start $unit || true; fi
done
nscd --invalidate=passwd 2>/dev/null || true
getent passwd {login}
"""


# The root of YunoHost's LDAP; a new one has no user below ou=users (old versions: `admin` above).
DIRECTORY = "dc=yunohost,dc=org"
# YunoHost's API, by which anybody may post-install.
CLOSE = "systemctl stop yunohost-api 2>/dev/null || true\n"
OPEN = "systemctl start yunohost-api 2>/dev/null || true\n"
# The last request that the API received may have post-installed the server before the stop; or the
# stop cut it off after it had created its user, an administrator.
_ALONE = f"""\
{CLOSE.rstrip()}
if [ -e {INSTALLED} ]; then echo "YunoHost is already installed" >&2; exit 1; fi
users=$(slapcat -b {DIRECTORY} -a '(uid=*)' 2>/dev/null |
    sed -n 's/^dn: uid=\\([^,]*\\),ou=users,.*/\\1/p' | tr '\\n' ' ')
if [ -n "$users" ]; then
    echo "the user ${{users% }} already exists: a post-installation was cut off before" >&2
    exit 1
fi
"""
_CHANGED = """\
IFS= read -r password
folder=$(mktemp -d /run/grappe-password.XXXXXX)
trap 'rm -rf "$folder"' EXIT
printf %s "$password" > "$folder/given"
changes() {{
    {program}
}}
printf '%s\\n' "$password" | ( changes ) || {{
    status=$?
    ldapwhoami -x -D {name} -y "$folder/given" >/dev/null 2>&1 || exit $status
    echo "the password is changed all the same"
}}
if [ -e {mark} ]; then
    {marking}
fi
"""


class Stage(enum.Enum):
    """The stages of a post-installation."""

    ABSENT = "absent"
    INTERRUPTED = "interrupted"
    DONE = "done"
    # Somebody removed YunoHost's own sign.
    LOST = "lost"


DRIFTS = {
    Stage.INTERRUPTED: "its post-installation was interrupted: YunoHost records no success of it",
    Stage.LOST: f"{INSTALLED} is missing, and it was post-installed",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostInstallSpec(InsideSpec):
    """A post-installation.

    Attributes:
        domain: The server's main domain.
        login: The administrator, if the version makes one; else `admin`.
        password: The administrator's password.
        timeout: Seconds that it may take.
        resolver: The bridge's DNS, to which YunoHost's own forwards the lab's domains.
        neighbours: The domains of the lab's other servers, and further names of this one: its own
            DNS knows neither.
    """

    MARKED: ClassVar[bool] = False

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})
    ID: ClassVar[str] = "{project}/{container}/postinstall"

    domain: str
    password: str
    login: str = ADMIN
    timeout: int = 1800
    resolver: str = ""
    neighbours: tuple[str, ...] = ()

    def _checks(self) -> problems.Checks:
        yield "container", self.container, validators.problem_of_name(self.container)
        yield "domain", self.domain, domain_problem(self.domain)
        yield "login", self.login, validators.problem_of_login(self.login)
        if not self.password or "\n" in self.password:
            yield "password", problems.UNSHOWN, "is empty, or has a line break in it."


def jail_file(spec: PostInstallSpec) -> bytes:
    """Return the fail2ban configuration that never bans the bridge's address."""
    return f"[DEFAULT]\nignoreip = 127.0.0.1/8 ::1 {spec.resolver}\n".encode()


def names_file(domains: Sequence[str], resolver: str) -> bytes:
    """Return the configuration of a server's own dnsmasq for the lab's domains.

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


def is_record(name: str) -> bool:
    """Whether a file of YunoHost's records is about a post-installation."""
    return "tools_postinstall" in name and name.endswith(".yml") and not name.startswith(".")


def stage(records: Sequence[str], *, installed: bool, marked: bool) -> Stage:
    """Return the stage of a post-installation.

    Args:
        records: YunoHost's records of all tries, as YAML.
        installed: Whether `INSTALLED` exists; without any mark or record, that means done.
        marked: Whether our `MARK` exists.
    """
    whole = marked or any(re.search(r"^success: true$", text, re.MULTILINE) for text in records)
    if not installed:
        return Stage.LOST if whole else Stage.ABSENT
    return Stage.DONE if whole or not records else Stage.INTERRUPTED


def addresses(banned: str) -> list[str]:
    """Return the addresses in the output of `fail2ban-client banned`, each once."""
    return list(dict.fromkeys(re.findall(r"\d+\.\d+\.\d+\.\d+", banned)))


def cannot_go_on(output: str) -> bool:
    """Whether YunoHost refuses because an earlier try had already made its domain or its user."""
    return bool(re.search(r"user .* already exists|domain already exists", output, re.IGNORECASE))


def is_system_user(output: str) -> bool:
    """Whether YunoHost refuses a login because the server's system has such a user."""
    return "already exists in the list of system users" in output


def refuses_password(output: str) -> bool:
    """Whether YunoHost refuses the password, such as one of those that most people use."""
    return bool(re.search(r"password (is among|needs|must)", output, re.IGNORECASE))


# The end of YunoHost's own pattern of a domain.
_LAST_LABEL = re.compile(r"\.(?:xn--)?[A-Za-z0-9]{2,}$")


def domain_problem(domain: str) -> str:
    """Check the main domain of a YunoHost: its certificate's common name has at most 64 bytes."""
    if len(domain) > MAX_DOMAIN:
        return f"has {len(domain)} characters; a certificate takes {MAX_DOMAIN}. A shorter one?"
    problem = validators.problem_of_domain(domain)
    if not problem and not _LAST_LABEL.search(domain):
        return "is refused by YunoHost: its last part takes letters and digits, at least two."
    return problem


def usage() -> Script:
    """Return the script that prints what an installed version's post-installation takes."""
    text = "yunohost tools postinstall --help\n"
    return Script(text=text, timeout=HELP_SECONDS, waits=EARLIER_SECONDS)


def takes_user(help_text: str) -> bool:
    """Whether an installed version makes a user of its own as administrator (11.1 and later)."""
    return "--username" in _options(help_text)


def arguments(help_text: str, spec: PostInstallSpec) -> list[str]:
    """Return the arguments that an installed version takes, except the password.

    Args:
        help_text: The output of `yunohost tools postinstall --help`.
        spec: The post-installation.
    """
    options = _options(help_text)
    argv = ["tools", "postinstall", "--domain", spec.domain]
    if "--username" in options:
        argv += ["--username", spec.login]
    if "--fullname" in options:
        argv += ["--fullname", full_name(spec.login)]
    wanted = ("--ignore-dyndns", "--force-diskspace", "--i-have-read-terms-of-services")
    return argv + [option for option in wanted if option in options]


def creation_of(login: str) -> str:
    """Return the commands by which a person makes an administrator in a server."""
    return f"yunohost user create {login}; yunohost user group add admins {login}"


def full_name(login: str) -> str:
    """Return a full name that YunoHost accepts: words of 1 to 30 letters, spaces between."""
    return " ".join(word.capitalize()[:30] for word in re.split("[^a-z0-9]+", login) if word)


def postinstall_script(help_text: str, spec: PostInstallSpec) -> Script:
    """Return the script that runs the post-installation."""
    # The script itself writes the mark and starts the API: the run that waits for it may be killed.
    # After a failure the API stays stopped: a connection that is still open would post-install.
    program = _with_password("--password", arguments(help_text, spec))
    script = f"{_ALONE}{program}{_marking(spec.password)}\n{OPEN}"
    return Script(text=script, stdin=f"{spec.password}\n", timeout=spec.timeout, creates=INSTALLED)


def has_user(login: str) -> Script:
    """Return the script that succeeds if a server knows a user; it starts a stopped directory."""
    text = _HAS_USER.format(login=shlex.quote(login))
    return Script(text=text, timeout=HELP_SECONDS, waits=EARLIER_SECONDS)


def change_of_password(spec: PostInstallSpec, login: str) -> Script:
    """Return the script that sets the administrator's password to the stack file's.

    YunoHost sets it first, and then fails where it cannot download its catalog of apps.
    """
    program = _with_password("--change-password", ["user", "update", login])
    script = _CHANGED.format(
        name=shlex.quote(f"uid={login},ou=users,{DIRECTORY}"), program=program.rstrip(),
        mark=MARK, marking=_marking(spec.password),
    )  # fmt: skip
    return Script(text=script, stdin=f"{spec.password}\n", timeout=CHANGE_SECONDS)


def is_older(mark: bytes, password: str) -> bool:
    """Whether the password that Grappe set last in a server is another than this one.

    Args:
        mark: The content of its `MARK`; an empty one says nothing of a password.
        password: The password.
    """
    salt, _, digest = mark.decode(errors="replace").strip().partition(" ")
    return bool(digest) and not hmac.compare_digest(digest, _digest(password, salt))


def _marking(password: str) -> str:
    """Return the shell command that writes `MARK`."""
    salt = secrets.token_hex(16)
    text = f"{salt} {_digest(password, salt)}"
    return f"install -m 600 /dev/null {MARK} && echo {text} > {MARK}"


def _digest(password: str, salt: str) -> str:
    # A cheap one: who may read it has the account's password on the card.
    return hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**8, r=8, p=1).hex()


def _with_password(option: str, words: Sequence[str]) -> str:
    return _SCRIPT.format(program=shlex.quote(_PROGRAM), option=option, arguments=shlex.join(words))


def _options(help_text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]+", help_text))
