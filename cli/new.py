"""`./lab new`: write the stack file of a student, an image or a lab host."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import yaml

from classroom import class_file
from cli import environment, options, stack
from core import codec, errors, problems, validators
from core.labels import label
from engine.passphrase import Passphrase
from remote import daemons
from stacks import files, golden, kinds, lab_host, neighbours, settings


@dataclasses.dataclass(frozen=True)
class Request:
    """The arguments of `lab new`; a setting that is empty keeps its default."""

    name: str
    host: str
    number: int | None = None
    workstation: str = ""
    image: str = ""
    domain: str = ""
    login: str = ""
    recipe: str = ""
    alias: str = ""
    relay: str = ""
    second_disk: str = ""
    daemon: str = ""
    post_install: bool = False
    lab_host: bool = False
    pairs: Sequence[str] = ()


def run_options(parser: options.Parser) -> None:
    """Add the options of `new`."""
    options.stack(parser, "the stack, and the student")
    parser.add_argument("--host", required=True, help="local: or ssh://[user@]host[:port]")
    text = "1 to 4000, which no other student of that host has; by default the first free one"
    parser.add_argument("--number", type=int, help=text)
    text = "local: (default), ssh://..., netns:NAME, or none"
    parser.add_argument("--workstation", default="", help=text)
    text = "an image of the lab host (default yunohost-12)"
    parser.add_argument("--image", default="", help=text)
    parser.add_argument("--domain", default="", help="parent of the domains (default grappe.test)")
    text = "post-install YunoHost, with a generated password"
    parser.add_argument("--post-install", action="store_true", help=text)
    parser.add_argument("--login", default="", help="YunoHost administrator (default: the student)")
    parser.add_argument(
        "--recipe", default="", help="make the stack of a golden image, from this recipe"
    )
    parser.add_argument("--alias", default="", help="the image's alias (default: the recipe's)")
    text = "a server on the internet that leads to the lab too: ssh://[user@]relay"
    parser.add_argument("--relay", default="", help=text)
    text = "make the stack of a lab host, from the bare server at --host"
    parser.add_argument("--lab-host", action="store_true", help=text)
    options.values(parser)
    text = "of a lab host: the disk that mirrors its root, as /dev/sdb"
    parser.add_argument("--second-disk", default="", metavar="DISK", help=text)
    text = "of a lab host: its container daemon (default lxd)"
    parser.add_argument("--daemon", default="", choices=[*daemons.SOCKETS], help=text)


def run(**given: Any) -> int:
    """Write a stack file; the arguments are the fields of a `Request`."""
    return new(Request(**given))


@stack.numbering()
def new(request: Request) -> int:
    """Write the stack file and make the stack, nothing else.

    Raises:
        errors.BadInputError: The file exists already, or a setting is invalid.
    """
    if request.recipe and request.lab_host:
        raise errors.BadInputError("--recipe makes an image, and --lab-host a host: one of the two")
    is_student = not (request.recipe or request.lab_host)
    if is_student and validators.problem_of_stack(request.name) and (found := label(request.name)):
        sys.stderr.write(f"{request.name} -> {found}\n")
        request = dataclasses.replace(request, name=found)
    if problem := validators.problem_of_stack(request.name):
        raise errors.BadInputError(f"{problems.show(request.name)} {problem}")
    path = stack.file_of(request.name)
    if path.exists():
        raise errors.BadInputError(
            f"{path.relative_to(environment.ROOT)} exists already",
            do=f"edit it, or remove it first; then: pulumi preview -s {request.name}",
        )
    others = {**of_classes(), **files.others(stack.folder(), request.name)}
    others.pop(request.name, None)
    values = _values(request)
    if request.number is None and is_student:
        values["number"] = neighbours.free_number(request.host, others)
    if request.number is None and request.recipe:
        number = next(neighbours.free_numbers(request.host, others, "image"))
        values |= {"number": number} if number > 1 else {}
    planned = _planned(request, values, others)
    config = {f"{settings.NAMESPACE}:{key}": value for key, value in values.items()}
    environment.apply()
    password = (
        password_of(request.name) or secrets.token_urlsafe(12) if request.post_install else ""
    )
    stack.write(request.name, content(config, password))
    try:
        stack.select(request.name)
    except BaseException:
        path.unlink()
        raise
    sys.stdout.write(f"stacks/{path.name}\n{_summary(planned)}")
    if request.post_install:
        command = f"pulumi config get {settings.NAMESPACE}:{settings.PASSWORD} -s {request.name}"
        sys.stderr.write(f'Its password:  {command}    (once before: eval "$(./lab env)")\n')
    sys.stderr.write(
        f"See the plan: ./lab preview {request.name}    Bring it up: ./lab up {request.name}\n"
    )
    return 0


def of_classes() -> dict[str, dict[str, Any]]:
    """Return the numbers of all students of classes: one without a stack file keeps its own."""
    found: dict[str, dict[str, Any]] = {}
    for name in class_file.names(environment.ROOT):
        with contextlib.suppress(errors.BadInputError):
            made = class_file.read(environment.ROOT, name)
            found |= {
                class_file.stack_of(name, each): {
                    "host": made.host, "number": each.number, "student": each.label,
                    neighbours.WRITTEN_IN: f"classes/{name}.yaml",
                }
                for each in made.students
            }  # fmt: skip
    return found


def _planned(
    request: Request, values: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]
) -> kinds.AnySpec:
    """Return the spec of a new stack; refuse all its mistakes at once."""
    texts = {
        f"{settings.NAMESPACE}:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in values.items()
    }
    wrong, planned = [], None
    try:
        planned = kinds.parse(texts, project=stack.PROJECT, stack=request.name)
    except problems.Mistakes as mistakes:
        wrong = mistakes.mistakes
    wrong += codec.beside(wrong, [
        *neighbours.conflicts(request.name, values, others),
        *neighbours.claims_of_others(request.name, values, neighbours.claimed(others)),
        *_mistakes_of_post_installation(request, values),
    ])  # fmt: skip
    if wrong or planned is None:
        raise errors.BadInputError(problems.summary(wrong))
    return planned


def _mistakes_of_post_installation(
    request: Request, values: Mapping[str, Any]
) -> Iterator[problems.Mistake]:
    """Yield what a post-installation would refuse, or have for nothing."""
    login = str(values.get("login") or "")
    if login and (problem := validators.problem_of_new_login(login)):
        key = f"{settings.NAMESPACE}:login"
        yield problems.Mistake(key, f"{problems.show(login)} {problem}")
    if request.post_install and (request.recipe or request.lab_host):
        reason = "is for students' servers: leave --post-install out."
        yield problems.Mistake(f"{settings.NAMESPACE}:{settings.PASSWORD}", reason)


def content(config: Mapping[str, Any], password: str = "") -> str:
    """Return the text of a new stack file; a password of its servers is encrypted in it."""
    if not password:
        return files.dump({"config": dict(config)})
    passphrase = Passphrase.create()
    secret = {f"{settings.NAMESPACE}:{settings.PASSWORD}": {"secure": passphrase.encrypt(password)}}
    return files.dump({"config": {**config, **secret}, "encryptionsalt": passphrase.salt})


def settings_of(pairs: Sequence[str], own: Collection[str]) -> dict[str, Any]:
    """Return further settings from the command line: `KEY=VALUE`, the value as in a stack file.

    Args:
        pairs: What `--set` gave.
        own: The keys that the command, or an option of its own, sets.

    Raises:
        errors.BadInputError: A pair has no key, an unreadable value, or a key of `own`.
    """
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.removeprefix(f"{settings.NAMESPACE}:")
        whole = f"{settings.NAMESPACE}:{key}"
        shown = f"--set {key}=..." if key == settings.PASSWORD else f"--set {pair}"
        if not equals:
            wrong.append(f"{shown} is not KEY=VALUE, as language=fr")
        elif key == settings.PASSWORD:
            wrong.append(f"{shown} would be in plain: pulumi config set --secret grappe:password")
        elif key in own:
            wrong.append(f"{shown}: {key} cannot be set here; see --help for an option")
        else:
            try:
                found[key] = files.load(text)
                wrong += [f"{shown}: {each.reason}" for each in files.misread_in(text, whole)]
            except yaml.YAMLError as error:
                reason = " ".join(str(error).split())
                form = "as in a stack file: 'servers=[{name: yuno1}]'"
                wrong.append(f"{shown} cannot be read ({reason}); {form}")
    if wrong:
        raise errors.BadInputError("\n".join(wrong))
    return found


def id_of(name: str) -> str:
    """Return the id for a new stack file: the one that its lab's state records, else a new one."""
    inputs = (item.get("inputs") or {} for item in stack.recorded(name))
    return next(filter(None, (str(each.get("lab") or "") for each in inputs)), "") or new_id()


def password_of(name: str) -> str:
    """Return the administrator's password in a state; empty without one.

    Raises:
        errors.GrappeError: It was encrypted with another passphrase.
    """
    kind = "/lxd:PostInstall"
    sealed = [item["inputs"].get("password") for item in stack.recorded(name)
              if str(item["type"]).endswith(kind)]  # fmt: skip
    if not sealed or not isinstance(sealed[0], dict) or "ciphertext" not in sealed[0]:
        return ""
    environment.apply()
    return str(json.loads(Passphrase(stack.salt_of(name)).decrypt(sealed[0]["ciphertext"])))


def new_id() -> str:
    """Return a random id for a lab."""
    return secrets.token_hex(6)


def _values(request: Request) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if request.recipe or request.lab_host:
        values["kind"] = "image" if request.recipe else "host"
    else:
        # Write it down, so that the lab survives a rename of its stack.
        values["student"] = request.name
    values["id"] = id_of(request.name)
    for key in ("host", "number", "recipe", "alias", "workstation", "image", "domain", "login",
                "second_disk", "daemon"):  # fmt: skip
        if (value := getattr(request, key)) not in (None, ""):
            values[key] = value
    if request.relay:
        values["tunnel"] = {"relay": request.relay}
    own = ("kind", "student", "id", "host", "number", settings.PASSWORD)
    return {**values, **settings_of(request.pairs, own)}


def _summary(planned: kinds.AnySpec) -> str:
    if isinstance(planned, golden.GoldenSpec):
        return f"  {planned.alias}  {planned.recipe.description}\n"
    if isinstance(planned, lab_host.LabHostSpec):
        return f"  {planned.host}  {planned.daemon}, UFW, HAProxy\n"
    return "".join(
        f"  {server.name}  {server.domain}  ssh port {server.port}\n" for server in planned.servers
    )
