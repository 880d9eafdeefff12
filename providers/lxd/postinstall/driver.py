"""Running the post-installation, and seeing whether it is still done."""

from __future__ import annotations

import dataclasses
from typing import Any

from providers import base, errors
from providers.lxd import daemon, job, ownership, shell
from providers.lxd.postinstall import model


class PostInstallDriver:
    """Post-installations on the containers of one daemon."""

    def __init__(self, lxd: daemon.Daemon, where: str) -> None:
        self._lxd = lxd
        self._where = where

    def create(self, spec: model.PostInstallSpec) -> base.Outputs:
        """Post-install the server, unless it is."""
        if self._find(spec) is None:
            raise errors.DaemonError(f"there is no container {spec.container} on {self._where}")
        asked = self._run(
            spec,
            job.Job(script="yunohost tools postinstall --help\n", timeout=model.HELP_SECONDS),
            "yunohost tools postinstall --help",
        )
        login = spec.login if model.takes_user(asked) else model.ADMIN
        if self._file(spec, model.INSTALLED) is not None:
            if (domain := self._domain(spec)) != spec.domain:
                raise errors.BadInputError(
                    f"{spec.container} is post-installed already, with the domain {domain}, not "
                    f"{spec.domain}",
                    do=f"say domain: {domain} of it in the stack file, or change it in YunoHost: "
                    "yunohost domain main-domain",
                )
        else:
            self._run(spec, model.job(asked, spec), "yunohost tools postinstall")
            if self._file(spec, model.INSTALLED) is None:
                raise errors.CommandError(
                    f"{spec.container} was post-installed and has no {model.INSTALLED}"
                )
        return {"user": login}

    def read(self, spec: model.PostInstallSpec) -> base.Reading[model.PostInstallSpec] | None:
        """Return it as it is; None when the container is another, or gone."""
        found = self._find(spec)
        if found is None or spec.container_id not in {"", ownership.identity_of(found)}:
            return None
        if self._file(spec, model.INSTALLED) is None:
            return base.Reading(spec, drift=f"{model.INSTALLED} is not there")
        return base.Reading(dataclasses.replace(spec, domain=self._domain(spec)))

    def update(self, old: model.PostInstallSpec, new: model.PostInstallSpec) -> base.Outputs:
        """Post-install again what lost it; what is installed is YunoHost's own to change."""
        if self._file(new, model.INSTALLED) is None:
            return self.create(new)
        names = ("domain", "login", "password")
        changed = [name for name in names if getattr(old, name) != getattr(new, name)]
        if self._domain(new) != new.domain and "domain" not in changed:
            changed.insert(0, "domain")
        if changed:
            raise errors.BadInputError(
                f"{new.container} is post-installed already, and its {' and '.join(changed)} "
                "changed since",
                do="change it in YunoHost (yunohost domain main-domain, yunohost user update), or "
                f"make the server anew: ./lab up {base.stack_of(new.owner)} --rebuild",
            )
        return {}

    def delete(self, spec: model.PostInstallSpec) -> None:
        """Do nothing: YunoHost has no way back, and the container goes with all of it."""

    def _domain(self, spec: model.PostInstallSpec) -> str:
        return (self._file(spec, model.DOMAIN_FILE) or spec.domain.encode()).decode().strip()

    def _run(self, spec: model.PostInstallSpec, what: job.Job, words: str) -> str:
        done = shell.run(self._lxd, spec.project, spec.container, what)
        if done.status != 0:
            enter = f"{self._lxd.program} exec {spec.container} --project {spec.project} -- bash"
            took = f"did not end within {what.timeout} s" if done.timed_out else "failed"
            raise errors.CommandError(
                f"`{words}` {took} in {spec.project}/{spec.container} on {self._where}",
                seen=done.tail(),
                do=f"mend what it says, or look into it: {enter}; then run it again",
            )
        return done.stdout

    def _find(self, spec: model.PostInstallSpec) -> dict[str, Any] | None:
        try:
            found = dict(self._lxd.get(f"instances/{spec.container}", project=spec.project))
        except daemon.AbsentError:
            return None
        ownership.demand(found, spec, f"the container {spec.project}/{spec.container}")
        return found

    def _file(self, spec: model.PostInstallSpec, path: str) -> bytes | None:
        try:
            where = f"instances/{spec.container}/files"
            return self._lxd.read_file(where, project=spec.project, file=path)
        except daemon.AbsentError:
            return None
