"""`./lab new`: write the stack file of a student, an image or a lab host."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from cli import environment, stack
from core import errors, problems, validators
from core.labels import label
from engine.passphrase import Passphrase
from stacks import files, golden, kinds, lab_host, neighbours, settings, spec


def new(options: argparse.Namespace) -> int:
    """Write the stack file and make the stack, nothing else.

    Raises:
        errors.BadInputError: The file exists already, or a setting is invalid.

    """
    is_student = not (options.recipe or options.lab_host)
    if is_student and validators.problem_of_stack(options.name) and (found := label(options.name)):
        sys.stderr.write(f"{options.name} -> {found}\n")
        options.name = found
    if problem := validators.problem_of_stack(options.name):
        raise errors.BadInputError(f"{problems.show(options.name)} {problem}")
    path = stack.file_of(options.name)
    if path.exists():
        raise errors.BadInputError(
            f"{path.relative_to(environment.ROOT)} exists already",
            do=f"edit it, or remove it first; then: pulumi preview -s {options.name}",
        )
    others = files.others(stack.folder(), options.name)
    values = _values(options)
    if options.number is None and is_student:
        values["number"] = neighbours.free_number(options.host, others)
    config = {f"{settings.NAMESPACE}:{key}": value for key, value in values.items()}
    texts = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
    }
    try:
        planned = kinds.parse(texts, project=stack.PROJECT, stack=options.name)
    except problems.Mistakes as mistakes:
        raise errors.BadInputError(problems.summary(mistakes.mistakes)) from mistakes
    wrong = neighbours.conflicts(options.name, values, others)
    if options.login and (problem := validators.problem_of_new_login(options.login)):
        key = f"{settings.NAMESPACE}:login"
        wrong.append(problems.Mistake(key, f"{problems.show(options.login)} {problem}"))
    if wrong:
        raise errors.BadInputError(problems.summary(wrong))
    environment.apply()
    password = (
        password_of(options.name) or secrets.token_urlsafe(12) if options.post_install else ""
    )
    path.write_text(content(config, password))
    try:
        stack.select(options.name)
    except BaseException:
        path.unlink()
        raise
    sys.stdout.write(f"stacks/{path.name}\n{_summary(planned)}")
    if options.post_install:
        command = f"pulumi config get {settings.NAMESPACE}:{settings.PASSWORD} -s {options.name}"
        sys.stderr.write(f"Its password:  {command}\n")
    sys.stderr.write(
        f"See the plan: ./lab preview {options.name}    Bring it up: ./lab up {options.name}\n"
    )
    return 0


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
        own: The keys that the command sets otherwise.

    Raises:
        errors.BadInputError: A pair has no key, an unreadable value, or a key of `own`.

    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.removeprefix(f"{settings.NAMESPACE}:")
        if not equals or key in own:
            raise errors.BadInputError(
                f"--set {pair}: " + (f"{key} cannot be set here" if equals else "is not KEY=VALUE"),
                do="--help has its own option; for a password: pulumi config set --secret "
                "grappe:password" if equals else "write it like --set language=fr",
            )  # fmt: skip
        try:
            found[key] = files.load(text)
        except yaml.YAMLError as error:
            raise errors.BadInputError(
                f"--set {pair}: {text} cannot be read", seen=str(error),
                do="write it as in a stack file: --set 'servers=[{name: yuno1}]'",
            ) from error  # fmt: skip
        if wrong := files.misread_in(text):
            raise errors.BadInputError(f"--set {pair}: {'; '.join(each.reason for each in wrong)}")
    return found


def id_of(name: str) -> str:
    """Return the id for a new stack file: its lab's where it is up and has lost its file."""
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
    providers = stack.state_of(name).load().get("secrets_providers") or {}
    salt = str((providers.get("state") or {}).get("salt") or "")
    return str(json.loads(Passphrase(salt).decrypt(sealed[0]["ciphertext"])))


def new_id() -> str:
    """Return a random id for a lab."""
    return secrets.token_hex(6)


def _values(options: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if options.recipe or options.lab_host:
        values["kind"] = "image" if options.recipe else "host"
    else:
        # Write it down, so that the lab survives a rename of its stack.
        values["student"] = options.name
    values["id"] = id_of(options.name)
    for key in ("host", "number", "recipe", "alias", "workstation", "image", "domain", "login",
                "second_disk", "daemon"):  # fmt: skip
        if (value := getattr(options, key)) not in (None, ""):
            values[key] = value
    if options.relay:
        values["tunnel"] = {"relay": options.relay}
    own = ("kind", "student", "id", "host", "number", settings.PASSWORD)
    return {**values, **settings_of(options.set, own)}


def _summary(planned: spec.LabSpec | golden.GoldenSpec | lab_host.LabHostSpec) -> str:
    if isinstance(planned, golden.GoldenSpec):
        return f"  {planned.alias}  {planned.recipe.description}\n"
    if isinstance(planned, lab_host.LabHostSpec):
        return f"  {planned.host}  {planned.daemon}, UFW, HAProxy\n"
    return "".join(
        f"  {server.name}  {server.domain}  ssh port {server.port}\n" for server in planned.servers
    )
