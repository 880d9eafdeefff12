"""Run the post-installation, and check whether it is still complete."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from core import errors, kernel_limits, run
from core.names import INSTALLED, MAIN_DOMAIN
from providers import base
from providers.lxd import daemon, files, ownership, script_run
from providers.lxd.exec import driver as exec_driver
from providers.lxd.postinstall import inside, model, services
from providers.lxd.script import WAITING, Script

STOP_SECONDS = 60
BOOT_SECONDS = 180.0
_RESTART_DNS = "systemctl try-restart dnsmasq || true\n"
# Fields that YunoHost keeps, and that a stack file may change later.
_OWN = ("domain", "login", "password")
# A reload keeps the bans of before.
_RELOAD_JAILS = """\
systemctl try-reload-or-restart fail2ban || true
fail2ban-client unban {gateway} || true
"""


Withdrawn = Callable[[model.PostInstallSpec], contextlib.AbstractContextManager[None]]


def _nothing_withdrawn(_spec: model.PostInstallSpec) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


class PostInstallDriver:
    """Post-installations on the containers of one daemon.

    Args:
        lxd: The daemon.
        url: The host, as messages name it.
        withdrawn: Returns a context in which no page leads to the server: before its
            post-installation, whoever opens its page may become its administrator.
    """

    def __init__(
        self, lxd: daemon.Daemon, url: str, withdrawn: Withdrawn = _nothing_withdrawn
    ) -> None:
        self._lxd = lxd
        self._url = url
        self._withdrawn = withdrawn

    def create(self, spec: model.PostInstallSpec) -> base.Outputs:
        """Post-install the server, or finish an interrupted one; leave a complete one.

        Raises:
            errors.BadInputError: Somebody else post-installed it, or with another domain.
            errors.CommandError: YunoHost refused or failed; shows its output.
            errors.DaemonError: The container is gone, or LXD refuses.
        """
        container = self._find(spec)
        if container is None:
            raise errors.DaemonError(
                f"{spec.container} cannot be post-installed: {self._url} has no such container",
                do="./lab up of its stack recreates it",
            )
        if not _runs(container):
            # A later run does it, when the server runs again.
            return {"user": spec.login}
        usage = self._run(spec, model.usage(), "yunohost tools postinstall --help")
        login = spec.login if model.takes_user(usage) else model.ADMIN
        stage = self._stage(spec)
        if stage is model.Stage.ABSENT:
            with self._closed(spec), self._withdrawn(spec):
                self._postinstall(spec, usage, login)
        else:
            self._demand_ours(spec, login)
            if self._mark(spec) is None and stage is model.Stage.DONE:
                run.report(
                    f"{spec.container} was post-installed by somebody else, and {login} keeps its "
                    f"old password. To set another, in the server: yunohost user update {login} "
                    "--change-password"
                )
            self._repair(spec, stage)
        self._demand_services(spec)
        return {"user": login}

    @contextlib.contextmanager
    def _closed(self, spec: model.PostInstallSpec) -> Iterator[None]:
        """Keep YunoHost's API stopped until anybody has post-installed the server.

        A connection that was open before the pages are withdrawn still leads to it.
        """
        self._activate(spec, model.CLOSE)
        try:
            yield
        finally:
            with contextlib.suppress(errors.GrappeError):
                if self._stage(spec) is not model.Stage.ABSENT:
                    self._activate(spec, model.OPEN)
                else:
                    run.report(
                        f"{spec.container}: YunoHost's API stays stopped until a post-installation "
                        "succeeds, or the server restarts"
                    )

    def _postinstall(self, spec: model.PostInstallSpec, usage: str, login: str) -> None:
        if self._is_taken(spec):
            # Somebody was faster, before the pages were withdrawn.
            raise self._taken(spec, login)
        self._write_jail(spec)
        try:
            self._run(
                spec,
                model.postinstall_script(usage, spec),
                "yunohost tools postinstall",
                aloud=True,
            )
        except errors.CommandError:
            if self._is_taken(spec):
                raise self._taken(spec, login) from None
            raise
        if self._stage(spec) is model.Stage.ABSENT:
            raise errors.CommandError(
                f"the post-installation of {spec.project}/{spec.container} left no mark",
                seen=f"YunoHost reported success, and {INSTALLED} is missing",
                do=f"recreate it, which deletes its content: {_rebuild(spec)}",
            )
        self._write_names(spec)

    def read(self, spec: model.PostInstallSpec) -> base.Reading[model.PostInstallSpec] | None:
        """Read the post-installation; return None when the container is another, or gone."""
        container = self._find(spec)
        if container is None or spec.container_id not in {"", ownership.identity_of(container)}:
            return None
        runs = _runs(container)
        with run.Pool() as pool:
            # A program in a server takes LXD as long as all the files.
            services = pool.submit(self._stopped, spec) if runs else None
            mark = self._mark(spec)
            stage = inside.stage_of(self._lxd, spec.project, spec.container, mark)
            bans = self._may_ban_all(spec)
            stopped = services.result() if services else []
        if stage is not model.Stage.DONE and not runs:
            return base.Reading(spec)
        if stage is model.Stage.ABSENT:
            return base.Reading(spec, drift=f"{INSTALLED} is not there")
        drift = model.DRIFTS.get(stage, "")
        if not drift and bans:
            drift = f"its fail2ban may ban the lab host, and with it everybody: no {model.JAIL}"
        if not drift and runs:
            drift = "; ".join(stopped)
        if not drift and runs and mark is None and self._lacks_our_users(spec):
            drift = f"it was post-installed by somebody else: it has no user {spec.login}"
        if not drift and runs and model.is_older(mark or b"", spec.password):
            drift = f"the password of {spec.login} is an older one: was a snapshot restored?"
        # Students may change the main domain and the users; only `check` reports it.
        return base.Reading(spec, drift=drift)

    def update(self, old: model.PostInstallSpec, new: model.PostInstallSpec) -> base.Outputs:
        """Post-install a server again that lost it; in an installed one, check and repair.

        Raises:
            errors.BadInputError: The server contradicts the stack file; says what a person must do.
            errors.CommandError: YunoHost refused or failed; shows its output.
        """
        stage = self._stage(new)
        if stage is model.Stage.ABSENT:
            return self.create(new)
        if not _runs(self._find(new) or {}):
            if changed := [name for name in _OWN if getattr(old, name) != getattr(new, name)]:
                raise errors.BadInputError(
                    f"{new.container} is stopped, and its {' and '.join(changed)} changed",
                    do="start it with state: running first, or restore the old value",
                )
            return {}
        mark = self._mark(new)
        if mark is None and self._lacks_our_users(new) and self._is_taken(new):
            raise self._taken(new, new.login)
        self._demand_as_wished(old, new)
        self._repair(new, stage)
        self._demand_services(new)
        if old.password != new.password or model.is_older(mark or b"", new.password):
            if not self._has_user(new, new.login):
                raise errors.BadInputError(
                    f"{new.container} has no user {new.login} any more, whose password changed",
                    do="set grappe:login to a user of its, or restore the old password; or in the "
                    f"server: {model.creation_of(new.login)}",
                )
            program = model.change_of_password(new, new.login)
            self._run(new, program, f"yunohost user update {new.login} --change-password")
        return {"user": new.login} if old.login != new.login else {}

    def delete(self, spec: model.PostInstallSpec) -> None:
        """Do nothing: YunoHost has no way back, and the container goes with all of it."""

    def _domain(self, spec: model.PostInstallSpec) -> str:
        return (self._file(spec, MAIN_DOMAIN) or spec.domain.encode()).decode().strip()

    def _stage(self, spec: model.PostInstallSpec) -> model.Stage:
        return inside.stage_of(self._lxd, spec.project, spec.container, self._mark(spec))

    def _mark(self, spec: model.PostInstallSpec) -> bytes | None:
        return inside.mark(self._lxd, spec.project, spec.container)

    def _repair(self, spec: model.PostInstallSpec, stage: model.Stage) -> None:
        if stage is model.Stage.INTERRUPTED:
            self._finish(spec)
        elif stage is model.Stage.LOST:
            self._write(spec, INSTALLED, b"")
        self._write_jail(spec)
        self._write_names(spec)

    def _finish(self, spec: model.PostInstallSpec) -> None:
        """Finish an interrupted one: its configurations, and its services."""
        program = Script(text=model.FINISH, timeout=spec.timeout)
        self._run(spec, program, "yunohost tools regen-conf --force", aloud=True)
        path, project = f"instances/{spec.container}/state", spec.project
        # LXD's own restart keeps an ephemeral server, which a stop would delete.
        body = {"action": "restart", "timeout": STOP_SECONDS, "force": False}
        self._lxd.change("PUT", path, body, project=project, timeout=STOP_SECONDS + 60)
        script_run.wait_for_boot(self._lxd, project, spec.container, BOOT_SECONDS)
        self._write(spec, model.MARK, b"")

    def _write_names(self, spec: model.PostInstallSpec) -> None:
        """Make YunoHost's own DNS forward the lab's other domains to the bridge's DNS."""
        wanted = model.names_file(spec.neighbours, spec.resolver)
        folder = self._file(spec, model.NAMES_FOLDER)
        before = self._file(spec, model.NAMES)
        if folder is None or before == wanted or not (spec.neighbours or before):
            return
        self._write(spec, model.NAMES, wanted)
        self._activate(spec, _RESTART_DNS)

    def _write_jail(self, spec: model.PostInstallSpec) -> None:
        """Exempt the bridge's address from fail2ban, since everybody comes through it."""
        if self._may_ban_all(spec):
            self._write(spec, model.JAIL, model.jail_file(spec))
            self._activate(spec, _RELOAD_JAILS.format(gateway=spec.resolver))

    def _may_ban_all(self, spec: model.PostInstallSpec) -> bool:
        exempt = (self._file(spec, model.JAIL) or b"").decode().split() if spec.resolver else [""]
        return spec.resolver not in exempt and self._file(spec, model.JAIL_FOLDER) is not None

    def _activate(self, spec: model.PostInstallSpec, script: str) -> None:
        program = Script(text=script, timeout=model.HELP_SECONDS)
        script_run.run(self._lxd, spec.project, spec.container, program)

    def _write(self, spec: model.PostInstallSpec, path: str, content: bytes) -> None:
        headers = {"X-LXD-type": "file", "X-LXD-uid": "0", "X-LXD-gid": "0", "X-LXD-mode": "0644",
                   "X-LXD-write": "overwrite"}  # fmt: skip
        self._lxd.write_file(
            f"instances/{spec.container}/files", content, project=spec.project, file=path,
            headers=headers,
        )  # fmt: skip

    def _demand_ours(self, spec: model.PostInstallSpec, login: str) -> None:
        """Refuse a server that somebody else post-installed."""
        if (domain := self._domain(spec)) != spec.domain:
            raise errors.BadInputError(
                f"{spec.container} is post-installed already, with the domain {domain}, not "
                f"{spec.domain}",
                do=f"set its domain to {domain} in the stack file, or change it in YunoHost: "
                f"yunohost domain main-domain; or, if somebody else did it: {_rebuild(spec)}",
            )
        if self._has_user(spec, login):
            return
        if self._mark(spec) is not None:
            run.report(
                f"{spec.container} has no user {login} any more, and Grappe post-installed it: "
                "who has a login there now may go on"
            )
        else:
            raise self._taken(spec, login)

    def _taken(self, spec: model.PostInstallSpec, login: str) -> errors.BadInputError:
        return errors.BadInputError(
            f"{spec.container} was post-installed by somebody else: it has no user {login}",
            seen="before it is post-installed, whoever opens its page first may do so",
            do=f"recreate it, which deletes its content: {_rebuild(spec)}",
        )

    def _lacks_our_users(self, spec: model.PostInstallSpec) -> bool:
        """Whether a server without our mark lacks our users; unlike `_is_taken`, start nothing."""
        project, seconds = spec.project, model.HELP_SECONDS
        found = (
            self._lxd.execute(
                spec.container, ["getent", "passwd", login], project=project, timeout=seconds
            )
            for login in (spec.login, model.ADMIN)
        )
        try:
            return all(done.status != 0 for done in found)
        except (errors.DaemonError, daemon.AbsentError):
            # `check` reports a server in which no program runs.
            return False

    def _is_taken(self, spec: model.PostInstallSpec) -> bool:
        return inside.is_taken(self._lxd, spec.project, spec.container, spec.login)

    def _demand_as_wished(self, old: model.PostInstallSpec, new: model.PostInstallSpec) -> None:
        """Refuse a changed domain or login that YunoHost itself does not have.

        Raises:
            errors.BadInputError: Says the commands that bring it there.
        """
        todo = []
        if old.domain != new.domain and self._domain(new) != new.domain:
            todo.append(
                f"yunohost domain add {new.domain}; yunohost domain main-domain -n {new.domain}"
            )
        if old.login != new.login and not self._has_user(new, new.login):
            todo.append(model.creation_of(new.login))
        if todo:
            raise errors.BadInputError(
                f"{new.container} is post-installed, and differs from the stack file",
                seen="only YunoHost itself can change an installed server",
                do=f"in the server: {'; '.join(todo)}; then run this again. Or recreate it: "
                f"{_rebuild(new)}",
            )

    def _demand_services(self, spec: model.PostInstallSpec) -> None:
        """Start services that YunoHost left stopped without a report, or raise with the reason."""
        wrong = inside.faults(self._lxd, spec.project, spec.container, start=True)
        mends = services.remedy(wrong)
        if wrong:
            raise errors.CommandError(
                f"{spec.project}/{spec.container} on {self._url} is post-installed, but some of "
                "its services fail",
                seen="\n".join(wrong),
                do=kernel_limits.inotify_remedy(" ".join(wrong))
                or (f"in the server: {mends}" if mends else f"inspect it, or: {_rebuild(spec)}"),
            )

    def _stopped(self, spec: model.PostInstallSpec) -> list[str]:
        """Return the services that an update starts again."""
        try:
            listed = script_run.output(
                self._lxd, spec.project, spec.container, services.survey(), model.HELP_SECONDS
            )
        except (errors.DaemonError, daemon.AbsentError):
            # `check` reports a server in which no program runs.
            return []
        return services.stopped(listed)

    def _has_user(self, spec: model.PostInstallSpec, login: str) -> bool:
        return inside.has_user(self._lxd, spec.project, spec.container, login)

    def _run(
        self, spec: model.PostInstallSpec, program: Script, words: str, *, aloud: bool = False
    ) -> str:
        report = exec_driver.to_terminal(spec.container, "yunohost")

        def on_line(line: str) -> None:
            if aloud or line == WAITING:
                report(line)

        done = script_run.run(self._lxd, spec.project, spec.container, program, on_line)
        if done.status != 0:
            lxc, server = self._lxd.program, f"{spec.container} --project {spec.project}"
            enter = f"{lxc} exec {server} -- bash"
            if not _runs(self._find(spec) or {}):
                enter = f"{lxc} start {server}; {enter}"
            took = f"did not end within {program.timeout} s" if done.timed_out else "failed"
            way_out = f"fix what it reports, or inspect it: {enter}; then run it again"
            stack = base.stack_of(spec.owner)
            if model.refuses_password(done.tail()):
                way_out = (
                    f"set another: pulumi config set --secret grappe:password -s {stack}; then run "
                    "it again"
                )
            if model.is_system_user(done.tail()):
                way_out = (
                    f"if the image has a user {spec.login}, another login: pulumi config set "
                    f"grappe:login NAME -s {stack}; if somebody made it in this server alone, "
                    f"recreate it: {_rebuild(spec)}"
                )
            elif model.cannot_go_on(done.tail()):
                way_out = (
                    f"an interrupted one cannot be resumed; recreate the server: {_rebuild(spec)}"
                )
            raise errors.CommandError(
                f"`{words}` {took} in {spec.project}/{spec.container} on {self._url}",
                seen=done.tail(),
                do=way_out,
            )
        return done.stdout

    def _find(self, spec: model.PostInstallSpec) -> dict[str, Any] | None:
        return ownership.container(self._lxd, spec, spec.project, spec.container)

    def _file(self, spec: model.PostInstallSpec, path: str) -> bytes | None:
        return files.read(self._lxd, spec.project, spec.container, path)


def _runs(container: dict[str, Any]) -> bool:
    return container.get("status") == "Running"


def _rebuild(spec: model.PostInstallSpec) -> str:
    return f"./lab up {base.stack_of(spec.owner)} --rebuild {spec.container}"
