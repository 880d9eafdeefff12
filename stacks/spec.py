"""The spec of a student's lab: a stack file with all derived values."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar, Literal

from core import codec, problems, validators
from core.names import MAX_NUMBER, MIN_NUMBER
from hosts import url
from providers.lxd.options import values
from providers.lxd.postinstall import model as postinstall
from stacks import allocation, authorized_keys, quota, server, settings, tunnel

# `grappe-<student>` and a server's name are LXD and DNS names of at most 63 characters.
MAX_STUDENT = 63 - len("grappe-")

# The user of a YunoHost that somebody else has post-installed.
YUNOHOSTS_USER = "admin"
_SAME_MACHINE = (
    "is the lab host itself, whose own connections pass no NAT rule. Name the "
    "students' machine, or none."
)
# The validators of optional texts.
_VALIDATORS = {
    "address": validators.problem_of_ipv4, "interface": validators.problem_of_interface,
    "login": validators.problem_of_login, "disk": values.problem_of_size,
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabSpec:
    """A student's lab; its fields are named as in `settings.Settings`."""

    KIND: ClassVar[Literal["student"]] = "student"

    owner: str
    id: str
    host: str
    workstation: str
    student: str
    number: int
    project: str
    bridge: str
    gateway: str
    subnet: str
    address: str
    interface: str
    profiles: tuple[str, ...]
    pool: str
    quota: Mapping[str, str]
    default: str
    keys: tuple[str, ...]
    login: str
    post_install: bool
    language: str
    adopt: bool
    tunnel: settings.TunnelSettings | None
    servers: tuple[server.ServerSpec, ...]

    @property
    def user(self) -> str:
        """The login by which the student's ssh gets in: its administrator, once there is one."""
        if self.post_install:
            return self.login
        return authorized_keys.KEYS_USER if self.keys else YUNOHOSTS_USER


def parse(
    config: Mapping[str, str], *, project: str, stack: str, secrets: Collection[str] = ()
) -> LabSpec:
    """Read a stack's configuration into the spec of its lab.

    Args:
        config: Texts by key, as the engine gives them.
        project: The Pulumi project.
        stack: The stack.
        secrets: The secret keys, whose values are in plain here.

    Raises:
        problems.Mistakes: All mistakes in it, with the stack file's keys.
    """
    password = f"{settings.NAMESPACE}:{settings.PASSWORD}"
    mistakes = [
        problems.Mistake(
            key.partition(":")[2], "is a secret, and LXD's config would show it in plain."
        )
        for key in secrets
        if key in config and key != password
    ]
    plain = {key: text for key, text in config.items() if key not in secrets and key != password}
    if problem := _password_problem(config.get(password, ""), secret=password in secrets):
        mistakes.append(problems.Mistake(settings.PASSWORD, problem))
    given = settings.load(settings.Settings, plain, mistakes)
    lab = _resolve(given, f"{project}/{stack}", stack, post_install=bool(config.get(password)))
    if lab.post_install:
        mistakes += [
            problems.Mistake(f"servers[{index}].domain", f"{problems.show(item.domain)} {problem}")
            for index, item in enumerate(lab.servers)
            if not validators.problem_of_domain(item.domain)
            and (problem := postinstall.domain_problem(item.domain))
        ]
    follows = not (validators.problem_of_domain(given.domain) or student_problem(lab.student))
    checks = (*_checks(given, lab), *server.checks(given, lab.servers, follows=follows))
    mistakes += codec.beside(mistakes, problems.collect(checks))
    if mistakes:
        mistakes.sort(key=lambda mistake: mistake.key)
        prefix = settings.NAMESPACE
        named = [problems.Mistake(f"{prefix}:{item.key}", item.reason) for item in mistakes]
        raise problems.Mistakes(named)
    return lab


def _resolve(given: settings.Settings, owner: str, stack: str, *, post_install: bool) -> LabSpec:
    student, number = given.student or stack, given.number
    return LabSpec(
        owner=owner,
        id=given.id,
        host=given.host,
        workstation=given.workstation,
        student=student,
        number=number,
        project=allocation.project(student),
        bridge=allocation.bridge(number),
        gateway=allocation.gateway(number),
        subnet=allocation.subnet(number),
        address=given.address,
        interface=given.interface,
        profiles=given.profiles,
        pool=given.pool,
        quota=quota.config(given.quota),
        default=given.default,
        keys=given.keys,
        login=given.login or validators.login_of(student),
        post_install=post_install,
        language=given.language,
        adopt=given.adopt,
        tunnel=tunnel.resolve(given.tunnel),
        servers=server.resolve(given, student),
    )


def _checks(given: settings.Settings, lab: LabSpec) -> Iterator[tuple[str, Any, str]]:
    """Yield the checks of a lab without its servers: the key, the value, the problem."""
    names = [asked.name for asked in given.servers]
    yield "id", given.id, validators.problem_of_lab_id(given.id)
    yield "host", url.without_password(given.host), url.problem(given.host)
    yield "student", lab.student, student_problem(lab.student)
    yield "domain", given.domain, validators.problem_of_domain(given.domain)
    yield "language", given.language, _language_problem(given.language)
    for index, key in enumerate(given.keys):
        shown = validators.show_public_key(key)
        yield f"keys[{index}]", shown, validators.problem_of_public_key(key)
    twice = sorted({name for name in given.profiles if given.profiles.count(name) > 1})
    yield from (("profiles", name, "is there twice. Name each once.") for name in twice)
    if given.workstation != "none":
        is_same = given.host == given.workstation == "local:"
        problem = url.problem(given.workstation, "none") or (_SAME_MACHINE if is_same else "")
        yield "workstation", url.without_password(given.workstation), problem
    if not MIN_NUMBER <= given.number <= MAX_NUMBER:
        limits = f"{MIN_NUMBER} to {MAX_NUMBER}"
        wrong = "is out of range" if given.number else "is not a student's number"
        yield "number", given.number, f"{wrong}. {limits}, and no other student's on the host."
    if not 1 <= len(given.servers) <= allocation.MAX_SERVERS:
        yield "servers", len(given.servers), f"servers. 1 to {allocation.MAX_SERVERS}."
    # A server without a name is a mistake of its own.
    if given.default and given.default not in names and all(names):
        yield "default", given.default, f"is not one of the servers: {', '.join(names)}."
    for key, judge in _VALIDATORS.items():
        if value := getattr(given, key):
            yield key, value, judge(value)
    yield "pool", given.pool, validators.problem_of_member(given.pool)
    yield from quota.problems(given.quota, lab.servers)
    yield from tunnel.problems(given.tunnel, names)
    for group in ("config", "limits"):
        for key, value in getattr(given, group).items():
            yield f"{group}.{key}", value, server.setting_problem(group, key, value)


def _language_problem(language: str) -> str:
    if not language or language in settings.LANGUAGES:
        return ""
    known = ", ".join(settings.LANGUAGES)
    return f"is not one of the languages: {known}. Left out, the locale decides."


def student_problem(student: str) -> str:
    """Return what is wrong with a student's name, which leads in names on the host; or nothing."""
    if len(student) > MAX_STUDENT and not validators.problem_of_name(student[:MAX_STUDENT]):
        return f"has {len(student)} characters, at most {MAX_STUDENT}."
    return validators.problem_of_name(student)


def _password_problem(value: str, *, secret: bool) -> str:
    """Return what is wrong with the password, without its value."""
    if not value:
        return "is empty: pulumi config rm grappe:password, or set one." if secret else ""
    if not secret:
        return "is in plain text. Set it as a secret: pulumi config set --secret grappe:password"
    return validators.problem_of_password(value)
