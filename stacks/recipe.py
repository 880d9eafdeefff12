"""Read a recipe of a golden image from a folder of recipes/."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import pathlib
import re
import shlex
import urllib.parse
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from core import codec, problems, validators
from providers.lxd.image.model import PROTOCOLS
from providers.lxd.script import Circumstances, check_variables
from stacks import files

FOLDER = pathlib.Path(__file__).parent.parent / "recipes"
ON_FAILURE = ("go on", "start over")
# The path of a script with an interpreter of its own while it runs.
_OWN_PROGRAM = "/run/grappe-step"
# The key of a file's source, as the recipe has it.
_SOURCE = re.compile(r"(files\[\d+\])\.source$")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
# What chmod takes.
_MODE = re.compile(r"0?[0-7]{3,4}|[ugoa]*[-+=][rwxXst]*(?:,[ugoa]*[-+=][rwxXst]*)*")
# What mmdebstrap takes, of which only its options begin with a dash.
_WORD = re.compile(r"[^\s-]\S*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class File:
    """A file of the recipe's folder, put into the builder before a step runs.

    Attributes:
        path: Its path in the builder.
        source: Its path in the folder (`from` in the recipe).
        mode: Its mode.
    """

    path: str
    source: str
    mode: str = "0644"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadStep(Circumstances):
    """One step in the builder; its variables go over the recipe's.

    Attributes:
        name: Its name.
        script: Its whole script, files included; in the recipe, a file of the recipe's folder.
    """

    name: str
    script: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(ReadStep):
    """A step as the recipe has it.

    Attributes:
        run: A program and its arguments, instead of a script.
        files: Files to put into the builder before.
        needs: URLs that it requires; the preflight tries them before any build.
    """

    run: tuple[str, ...] = ()
    files: tuple[File, ...] = ()
    needs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Base:
    """The base of the builder: a remote's image, files, or a bootstrapped suite.

    Attributes:
        server: A remote's URL.
        protocol: Its protocol, `simplestreams` or `lxd`.
        image: The remote's alias of the image.
        metadata: The path of an image's metadata file, from the recipe's folder.
        rootfs: The path of its root file system.
        suite: Debian's suite, bootstrapped on this machine.
        packages: Its packages beside Debian's important ones.
        mirror: Debian's mirror.
    """

    server: str = ""
    protocol: str = "simplestreams"
    image: str = ""
    metadata: str = ""
    rootfs: str = ""
    suite: str = ""
    packages: tuple[str, ...] = ()
    mirror: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A recipe as written.

    Attributes:
        alias: The alias of the image.
        description: The image's description.
        base: The base of the builder.
        steps: The steps in the builder, in order.
        tested: The systems that it was run on, or why it was not.
        environment: Variables of every step.
        on_failure: How the next run treats a failed step: `go on` in the same builder, or
            `start over` with a new one.
    """

    alias: str
    description: str
    base: Base
    steps: tuple[Step, ...]
    tested: str = ""
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    on_failure: str = "start over"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadRecipe:
    """A recipe with the contents of its files.

    Attributes:
        name: The name of its folder.
        digest: The hash of everything that shapes the image.
        needs: The URLs of its steps, `{step: url}` in their order.
    """

    name: str
    alias: str
    description: str
    base: Base
    steps: tuple[ReadStep, ...]
    starts_over: bool
    digest: str
    needs: tuple[tuple[str, str], ...]


def names(folder: pathlib.Path = FOLDER) -> list[str]:
    """Return the names of the existing recipes."""
    return sorted(path.parent.name for path in folder.glob("*/recipe.yaml"))


def read(name: str, folder: pathlib.Path = FOLDER) -> ReadRecipe:
    """Read a recipe.

    Raises:
        problems.Mistakes: All mistakes in it, and recipes that share its alias.
    """
    mistakes: list[problems.Mistake] = []
    recipe = _load(name, folder, mistakes)
    if recipe is not None:
        mistakes += codec.beside(mistakes, _check(name, recipe, folder))
    if mistakes or recipe is None:
        prefix = f"recipes/{name}/recipe.yaml"
        raise problems.Mistakes(
            [problems.Mistake(f"{prefix}: {m.key}", m.reason) for m in mistakes]
        )
    environment = recipe.environment
    steps = tuple(_read_step(step, environment, folder / name) for step in recipe.steps)
    made_of = {
        "base": codec.encode(recipe.base),
        "steps": codec.encode(steps),
        "files": [_digest(folder / name / path) for path in _base_files(recipe.base)],
    }
    text = json.dumps(made_of, sort_keys=True)
    return ReadRecipe(
        name=name,
        alias=recipe.alias,
        description=recipe.description,
        base=_placed(recipe.base, folder / name),
        steps=steps,
        starts_over=recipe.on_failure == "start over",
        digest=hashlib.sha256(text.encode()).hexdigest()[:16],
        needs=tuple((step.name, url) for step in recipe.steps for url in step.needs),
    )


def _load(name: str, folder: pathlib.Path, mistakes: list[problems.Mistake]) -> Recipe | None:
    path = folder / name / "recipe.yaml"
    try:
        text = path.read_text()
        content = files.load(text)
    except OSError as error:
        mistakes.append(problems.Mistake("file", f"cannot be read: {error.strerror}."))
        return None
    except (yaml.YAMLError, ValueError) as error:
        mistakes.append(problems.Mistake("line", f"it is not YAML: {error}"))
        return None
    mistakes += files.misread_in(text)
    if not isinstance(content, dict):
        mistakes.append(problems.Mistake("recipe", "is not a group of settings."))
        return None
    found: list[problems.Mistake] = []
    recipe = codec.salvage(Recipe, _renamed(content), found)
    mistakes += codec.beside(mistakes, [
        dataclasses.replace(each, key=_SOURCE.sub(r"\1.from", each.key)) for each in found
    ])  # fmt: skip
    return recipe


def _renamed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Rename `from` of files, a keyword of Python, to `source`."""

    def file(each: Any) -> Any:
        if not isinstance(each, dict):
            return each
        return {"source" if key == "from" else key: value for key, value in each.items()}

    def step(each: Any) -> Any:
        if not isinstance(each, dict) or not isinstance(each.get("files"), list):
            return each
        return {**each, "files": list(map(file, each["files"]))}

    if not isinstance(content.get("steps"), list):
        return dict(content)
    return {**content, "steps": list(map(step, content["steps"]))}


def _check(name: str, recipe: Recipe, folder: pathlib.Path) -> list[problems.Mistake]:
    home = folder / name
    checks: list[tuple[str, Any, str]] = [
        ("alias", recipe.alias, validators.problem_of_alias(recipe.alias))
    ]
    if recipe.on_failure not in ON_FAILURE:
        checks.append(("on_failure", recipe.on_failure, f"is not one of {', '.join(ON_FAILURE)}."))
    for other in names(folder):
        its = _load(other, folder, []) if other != name else None
        if its is not None and its.alias == recipe.alias:
            checks.append(("alias", recipe.alias, f"is the alias of recipes/{other} too."))
    checks += _check_base(recipe.base, home)
    for index, step in enumerate(recipe.steps):
        checks += _check_step(step, f"steps[{index}]", home)
        if step.name in {other.name for other in recipe.steps[:index]}:
            checks.append((f"steps[{index}].name", step.name, "is another step's already."))
    checks += check_variables("environment", recipe.environment)
    return problems.collect(checks)


def _check_base(base: Base, home: pathlib.Path) -> Iterator[tuple[str, Any, str]]:
    origins = [key for key in ("server", "metadata", "suite") if getattr(base, key)]
    if len(origins) != 1:
        yield "base", " and ".join(origins) or "nothing", "is not one of server, metadata or suite."
    yield from _check_texts(base)
    if base.server and not base.image:
        yield "base.image", "", "is missing. Name an image of that server, such as debian/12."
    if base.metadata and not base.rootfs:
        yield "base.rootfs", "", "is missing beside metadata."
    for path in _base_files(base):
        yield "base", path, _file_problem(home / path)


def _check_texts(base: Base) -> Iterator[tuple[str, Any, str]]:
    if base.server and not _is_web(base.server):
        yield "base.server", base.server, "is not a URL, as https://images.linuxcontainers.org."
    if base.protocol not in PROTOCOLS:
        yield "base.protocol", base.protocol, f"is not one of {', '.join(PROTOCOLS)}."
    if base.suite and not _WORD.fullmatch(base.suite):
        yield "base.suite", base.suite, "is not the name of a suite, as bookworm."
    if base.mirror and not re.match(r"[a-z+]+:/|deb ", base.mirror):
        yield "base.mirror", base.mirror, "is not a URL, as https://deb.debian.org/debian."
    for number, package in enumerate(base.packages):
        if not _WORD.fullmatch(package):
            yield f"base.packages[{number}]", package, "is not the name of a package."


def _check_step(step: Step, prefix: str, home: pathlib.Path) -> Iterator[tuple[str, Any, str]]:
    yield f"{prefix}.name", step.name, validators.problem_of_comment(step.name)
    yield from step.checks(f"{prefix}.")
    if step.user and not _USER.fullmatch(step.user):
        yield f"{prefix}.user", step.user, "is not the name of a user of Debian's."
    if step.run and not step.run[0]:
        yield f"{prefix}.run[0]", "", "is not a program."
    if bool(step.script) == bool(step.run):
        yield f"{prefix}.script", step.script, "or run: set one of the two."
    if step.script:
        yield f"{prefix}.script", step.script, _script_problem(home / step.script)
    yield from _check_files(step, prefix, home)
    for number, url in enumerate(step.needs):
        if not _is_web(url):
            yield f"{prefix}.needs[{number}]", url, "is not a URL, as https://deb.debian.org."


def _check_files(step: Step, prefix: str, home: pathlib.Path) -> Iterator[tuple[str, Any, str]]:
    for number, file in enumerate(step.files):
        yield f"{prefix}.files[{number}].from", file.source, _file_problem(home / file.source)
        problem = "is a folder: name the file in it." if file.path.endswith("/") else ""
        problem = problem or validators.problem_of_path(file.path)
        yield f"{prefix}.files[{number}].path", file.path, problem
        if not _MODE.fullmatch(file.mode):
            yield f"{prefix}.files[{number}].mode", file.mode, 'is not a mode in octal: "0644".'


def _is_web(text: str) -> bool:
    try:
        url = urllib.parse.urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        # An address in brackets without its end, or a port that is none.
        return False


def _script_problem(path: pathlib.Path) -> str:
    """Return why a file is no script for a shell."""
    if problem := _file_problem(path):
        return problem
    content = path.read_bytes()
    if b"\r\n" in content:
        return "has Windows line endings. To fix them: sed -i 's/\\r$//' and the file."
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "is not UTF-8 text."
    wrong = "\0" in text or text.startswith("\ufeff")
    return "is not a text for a shell: it has a NUL or a byte order mark." if wrong else ""


def _file_problem(path: pathlib.Path) -> str:
    return "" if path.is_file() else "is not a file of the recipe's folder."


def _base_files(base: Base) -> list[str]:
    return [path for path in (base.metadata, base.rootfs) if path]


def _placed(base: Base, folder: pathlib.Path) -> Base:
    """Return a base whose paths start at the program's working directory."""
    if not base.metadata:
        return base
    return dataclasses.replace(
        base, metadata=str(folder / base.metadata), rootfs=str(folder / base.rootfs)
    )


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _printing(content: bytes) -> str:
    """Return the shell command that prints a file; binary content travels as base64."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return f"printf '%s' {base64.b64encode(content).decode()} | base64 -d"
    return f"printf '%s' {shlex.quote(text)}"


def _read_step(step: Step, environment: Mapping[str, str], folder: pathlib.Path) -> ReadStep:
    lines = []
    for file in step.files:
        path = shlex.quote(file.path)
        lines += [
            f'mkdir -p -- "$(dirname -- {path})"',
            f"{_printing((folder / file.source).read_bytes())} > {path}",
            f"chmod {shlex.quote(file.mode)} {path}",
        ]
    script = (folder / step.script).read_text() if step.script else f"{shlex.join(step.run)}\n"
    if lines and script.startswith("#!"):
        # The script has an interpreter of its own; the shell writes its files first.
        own = shlex.quote(_OWN_PROGRAM)
        lines += [f"printf '%s' {shlex.quote(script)} > {own}", f"chmod 0700 {own}"]
        script = f"status=0\n{own} || status=$?\nrm -f {own}\nexit $status\n"
    whole = "\n".join([*lines, script]) if lines else script
    same = {field.name: getattr(step, field.name) for field in dataclasses.fields(ReadStep)}
    environment = {**environment, **step.environment}
    return ReadStep(**{**same, "script": whole, "environment": environment})
