"""The managed part of haproxy.cfg and its maps.

Runs on the host: standard library alone. The managed part is the same whatever the routes; two maps
hold them. A change writes the maps to disk first, then to the running HAProxy by its socket. It
reloads HAProxy only if the part itself changes or the socket refuses. The frontend reports the
loaded generation of both: one real request verifies a change.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from typing import Any, Dict, List, Mapping, Optional

from remote import haproxy_maps, haproxy_unit, managed_block
from remote.haproxy_unit import CONFIG
from remote.running_haproxy import RunningHaproxy, part_generation, runtime
from remote.system import File, RefusedError, Result, System
from remote.target import Files, Fragment, Target
from remote.unmanaged import haproxy

# A copy of the configuration around our part, to check whether that alone is valid.
OUTSIDE = f"{haproxy_maps.FOLDER}/outside.cfg"
# A copy of our part with the staged maps, for HAProxy to check.
TRIAL = f"{haproxy_maps.FOLDER}/trial.cfg"
# Notes that HAProxy did not run before us.
WAS_STOPPED = f"{haproxy_maps.FOLDER}/was-stopped"
DISABLED = "disabled"
# The configuration around our part that HAProxy last accepted; the preflight checks only others.
LOADED = f"{haproxy_maps.FOLDER}/loaded"
# The folder of an older Grappe's maps.
OLD_MAPS = f"{haproxy_maps.FOLDER}/maps"


class HaproxyTarget(Target):
    """The backends of one host."""

    name = "haproxy"

    def __init__(self, system: System, shared_sections: Mapping[str, Any]) -> None:
        super().__init__(system, shared_sections)
        self._running = RunningHaproxy(system)
        self._outside = ""
        # The files that the loaded maps match now.
        self._routed: Optional[Files] = None

    def paths(self) -> List[str]:
        """Return the files with the backends, and the pages of servers that are not up."""
        return [CONFIG, haproxy_maps.ROUTES, haproxy_maps.STATES, *self.shared_sections["pages"]]

    def compile(self, fragments: List[Fragment], current: Files) -> Files:
        """Return the configuration and maps of these backends; without backends, none of ours."""
        config = current[CONFIG]
        outside = managed_block.split(config.content or "")
        self._outside = outside.before + outside.after
        if not fragments:
            return {
                path: File(managed_block.remove(config.content) if path == CONFIG else None)
                for path in self.paths()
            }
        if config.content is None:
            raise RefusedError(f"there is no {CONFIG}", do="apt install haproxy")
        content = self._adopt(fragments, config.content)
        outside = managed_block.split(content)
        self._outside = outside.before + outside.after
        try:
            routed = haproxy_maps.render(fragments)
        except ValueError as error:
            raise RefusedError(
                f"the fragment {error} was changed by hand", do="`pulumi up` of that stack"
            ) from error
        return {
            CONFIG: File(managed_block.put(content, self._body(self._outside, outside.before))),
            **{path: File(text, 0o644) for path, text in routed.items()},
            **{path: File(text, 0o644) for path, text in self.shared_sections["pages"].items()},
        }

    def check(self, fragments: List[Fragment], newest: str, held: Optional[Fragment]) -> None:
        """Refuse what the shared check refuses, and a domain that is the parent of another lab's.

        A sub-domain follows its parent's route, and its own lab may be down.
        """
        super().check(fragments, newest, held)
        new = next(fragment for fragment in fragments if fragment["id"] == newest)
        domains = set(new["parts"]["domains"]) - set(held["parts"]["domains"] if held else ())
        parents = {domain.partition(".")[2] for domain in domains}
        for fragment in fragments if domains else ():
            if fragment["owner"] == new["owner"]:
                continue
            for other in fragment["parts"]["domains"]:
                if other in parents or other.partition(".")[2] in domains:
                    mine = next(d for d in domains if other in d or d in other)
                    raise RefusedError(
                        f"{mine} and {other} are a domain and its sub-domain",
                        f"{other} is that of stack {fragment['owner']}",
                        "choose another: a sub-domain follows its parent's route",
                        fragment=newest,
                    )

    def _adopt(self, fragments: List[Fragment], config: str) -> str:
        """Take over routing by hand if every domain in it belongs to a lab with `adopt`."""
        adopted = {domain for f in fragments for domain in f["parts"].get("adopts", ())}
        if not adopted:
            return config
        strays = sorted(haproxy.domains(config) - adopted)
        if strays:
            raise RefusedError(
                f"{CONFIG} routes {', '.join(strays)} by hand, which no server of the lab has",
                do="give a server of the lab that domain, or take it out of the file",
            )
        if others := haproxy.unaccounted(config):
            raise RefusedError(
                f"{CONFIG} has more in its routing by hand than Grappe takes over",
                "; ".join(others[:3]),
                "take it out of the file, or give it a port of its own",
            )
        return haproxy.without(config)

    def validate(self, files: Files, staged: Dict[str, str]) -> None:
        """Have HAProxy check a configuration that it has not loaded; say whose the error is."""
        content = files[CONFIG].content or ""
        wanted = part_generation(content)
        unchanged = wanted and staged[CONFIG] == self.system.root + CONFIG
        if unchanged and self._running.generation() == wanted:
            return
        for path in files:
            content = content.replace(path, staged[path]) if path != CONFIG else content
        done = self._try(TRIAL, content)
        # Status 2: valid but without a listener, as the file is without our part.
        if done.status == 0 or (done.status == 2 and not wanted):
            return
        before = self._try(OUTSIDE, self._outside)
        blame = "Grappe's part of it" if before.status == 0 else "it was invalid before Grappe"
        raise RefusedError(
            f"{CONFIG} is not valid ({blame})",
            _alerts(done.err if before.status == 0 else before.err),
            f"haproxy -c -f {CONFIG}",
        )

    def activate(self, files: Files) -> None:
        """Change the loaded maps; reload or start HAProxy only where that does not suffice.

        Never restart it, which would cut connections.
        """
        content = files[CONFIG].content or ""
        if self._running.generation() == part_generation(content):
            problem = self._running.update_maps(files)
            self._routed = None if problem else files
            if not problem:
                return
            self.notes.append(f"reloaded HAProxy: {problem}")
        if self.system.run(["systemctl", "is-active", "--quiet", "haproxy"]).status == 0:
            self._start("reload")
        else:
            if not os.path.exists(self.system.root + LOADED):
                enabled = self.system.run(["systemctl", "is-enabled", "--quiet", "haproxy"])
                self.system.write(WAS_STOPPED, File("" if enabled.status == 0 else DISABLED, 0o600))
                self.system.must(["systemctl", "enable", "--quiet", "haproxy"])
            self.system.run(["systemctl", "reset-failed", "haproxy"])
            self._start("start")
        self._running.wait_for(files)
        outside = managed_block.split(content)
        self.system.write(LOADED, File(outside.before + outside.after, 0o600))
        shutil.rmtree(self.system.root + OLD_MAPS, ignore_errors=True)

    def _start(self, action: str) -> None:
        """Start or reload HAProxy; raise with what it wrote to the journal."""
        done = self.system.run(["systemctl", action, "haproxy"])
        if done.status == 0:
            return
        journal = ["journalctl", "-u", "haproxy", "-n", "30", "-o", "cat", "--no-pager"]
        lines = self.system.run(journal).out.splitlines()
        alerts = [line for line in lines if "[ALERT]" in line]
        raise RefusedError(
            f"systemctl {action} haproxy failed",
            "\n".join(alerts[-3:] or lines[-3:]) or done.err.strip(),
            "on the host: mend what it reports; `systemctl status haproxy` shows more",
        )

    def verify(self, files: Files) -> str:
        """Compare the generation and the maps that HAProxy has loaded with the files."""
        wanted = part_generation(files[CONFIG].content or "")
        if not wanted:
            return ""
        if wrong := self._running.fault(files):
            return wrong
        if self._routed is files:
            # `activate` has just compared the maps.
            return ""
        changed = self._running.changed_map(files)
        return f"its maps were changed while it runs: {changed}" if changed else ""

    def deactivate(self) -> None:
        """Reload the remaining configuration, or stop HAProxy if it did not run before us."""
        unit = ["systemctl", "is-active", "--quiet", "haproxy"]
        if self.system.run(unit).status == 0:
            stopped = self.system.read(WAS_STOPPED).content
            if stopped is not None:
                self.system.must(["systemctl", "stop", "haproxy"])
                if stopped == DISABLED:
                    self.system.must(["systemctl", "disable", "--quiet", "haproxy"])
            else:
                self.system.must(["systemctl", "reload", "haproxy"])
                self._running.wait_until_left()
        for path in (WAS_STOPPED, LOADED, TRIAL, OUTSIDE):
            self.system.write(path, File(None))
        shutil.rmtree(self.system.root + OLD_MAPS, ignore_errors=True)
        self.system.write(runtime(self._outside), File(None))

    def _body(self, outside: str, before: str) -> str:
        # The host's own bound on old workers wins.
        chosen = re.search(r"^\s*hard-stop-after", outside, re.MULTILINE)
        bound = "" if chosen else f"    {self.shared_sections['hard_stop']}\n"
        body = self.shared_sections["frontends"].replace("@RUNTIME@", runtime(outside))
        body = body.replace("@BOUND@\n", bound)
        if not _defaults(before):
            # Without `defaults` above our part, those of the files loaded earlier apply.
            before = self._earlier() + before
        body += f"\n# Below this part the host's own defaults rule.\n{_last_defaults(before)}"
        pages = "".join(self.shared_sections["pages"].values())
        return str(body.replace("@GENERATION@", _digest(body + pages)))

    def _unit(self) -> haproxy_unit.Unit:
        shown = self.system.run(haproxy_unit.SHOW).out
        return haproxy_unit.parse(shown, lambda path: self.system.read(path).content or "")

    def _earlier(self) -> str:
        """Return the files that HAProxy loads before haproxy.cfg, one after the other."""
        files = self._unit().files
        first = files[: files.index(CONFIG)] if CONFIG in files else files
        return "".join(f"{self.system.read(path).content or ''}\n" for path in first)

    def _try(self, path: str, content: str) -> Result:
        """Have HAProxy check a configuration; its messages name the target file."""
        self.system.write(path, File(haproxy_unit.detached(content), 0o600))
        unit = self._unit()
        try:
            done = self.system.run(
                unit.check(self.system.root + path), environment=unit.environment
            )
        finally:
            self.system.write(path, File(None))
        return done._replace(err=done.err.replace(self.system.root + path, CONFIG))


def _last_defaults(config: str) -> str:
    """Return the last `defaults` section of a configuration, or an empty one.

    A section without a `from` takes the last `defaults` above it: sections below our part must
    take the same as without us. A copy of a named section gets a new name, since names are unique;
    it stays named, since only a named section may hold http or tcp rules.
    """
    lines = _balanced("".join(_defaults(config)[-1:]))
    head, *rest = [line for line in lines if not line.split()[0].startswith("#")] or ["defaults"]
    named = re.sub(r"^\s*defaults\s+(?!from\b|#)(\S+)", r"defaults \1-below-grappe", head)
    return "\n".join([named, *rest]) + "\n"


def _defaults(config: str) -> List[str]:
    """Return the `defaults` sections of a configuration."""
    return [body for kind, _name, body in haproxy.sections(config) if kind == "defaults"]


def _balanced(section: str) -> List[str]:
    """Return a section's lines without blank ones, and without halves of an `.if` around it."""
    kept: List[str] = []
    begun: List[int] = []
    for line in section.splitlines():
        word = line.split()[0] if line.split() else ""
        if word == ".if":
            begun.append(len(kept))
        elif word in (".elif", ".else", ".endif") and not begun:
            break
        elif word == ".endif":
            begun.pop()
        if word:
            kept.append(line)
    return kept[: begun[0]] if begun else kept


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _alerts(text: str) -> str:
    lines = [line for line in text.splitlines() if "ALERT" in line or "WARNING" in line]
    return "\n".join((lines or text.splitlines())[:6])
