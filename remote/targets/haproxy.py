"""The managed part of haproxy.cfg, its maps, and what HAProxy has really loaded.

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
import time
from typing import Any, Dict, List, Mapping, Optional

from remote import haproxy_unit, managed_block, maps
from remote.haproxy_unit import CONFIG
from remote.system import File, RefusedError, Result, System
from remote.target import Files, Fragment, Target
from remote.unmanaged import haproxy

# A copy of the configuration around our part, to check whether that alone is valid.
OUTSIDE = f"{maps.FOLDER}/outside.cfg"
# A copy of our part with the staged maps, for HAProxy to check.
TRIAL = f"{maps.FOLDER}/trial.cfg"
# Notes that HAProxy did not run before us.
WAS_STOPPED = f"{maps.FOLDER}/was-stopped"
DISABLED = "disabled"
# The configuration around our part that HAProxy last accepted; the preflight checks only others.
LOADED = f"{maps.FOLDER}/loaded"
# The folder of an older Grappe's maps.
OLD_MAPS = f"{maps.FOLDER}/maps"
SOCKET_NAME = "grappe.sock"
# The master's socket in Debian's unit; it forwards commands to the serving worker.
MASTER = "/run/haproxy-master.sock"
RELOAD_SECONDS = 10.0
# More commands than this are slower than a reload, and only a change by hand needs so many.
MOST_COMMANDS = 2000
# The bytes that HAProxy reads of one connection to its socket, with room to spare (tune.bufsize).
_SENT_AT_ONCE = 8000
_GENERATION = re.compile(r'string "([0-9a-f]{16}) ')
_SOCKET = re.compile(r"^\s*stats\s+socket\s+(?:unix@)?(/\S+)", re.MULTILINE)


class HaproxyTarget(Target):
    """The backends of one host."""

    name = "haproxy"

    def __init__(self, system: System, shared_sections: Mapping[str, Any]) -> None:
        super().__init__(system, shared_sections)
        self._outside = ""
        # The files that the loaded maps match now.
        self._routed: Optional[Files] = None

    def paths(self) -> List[str]:
        """Return the files with the backends, and the pages of servers that are not up."""
        return [CONFIG, maps.ROUTES, maps.STATES, *self.shared_sections["pages"]]

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
            routed = maps.render(fragments)
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
                        "choose another: a sub-domain goes where its parent does",
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
        """Have HAProxy check a configuration that it has not loaded; report whose mistake it is."""
        content = files[CONFIG].content or ""
        wanted = _generation(content)
        if wanted and staged[CONFIG] == self.system.root + CONFIG and self._loaded()[0] == wanted:
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
        if self._loaded()[0] == _generation(content):
            problem = self._route(files)
            if not problem:
                return
            self.notes.append(f"reloaded HAProxy: {problem}")
        if self.system.run(["systemctl", "is-active", "--quiet", "haproxy"]).status == 0:
            self.system.must(["systemctl", "reload", "haproxy"])
        else:
            if not os.path.exists(self.system.root + LOADED):
                enabled = self.system.run(["systemctl", "is-enabled", "--quiet", "haproxy"])
                self.system.write(WAS_STOPPED, File("" if enabled.status == 0 else DISABLED, 0o600))
                self.system.must(["systemctl", "enable", "--quiet", "haproxy"])
            self.system.run(["systemctl", "reset-failed", "haproxy"])
            self.system.must(["systemctl", "start", "haproxy"])
        self._wait_for(files)
        outside = managed_block.split(content)
        self.system.write(LOADED, File(outside.before + outside.after, 0o600))
        shutil.rmtree(self.system.root + OLD_MAPS, ignore_errors=True)

    def verify(self, files: Files) -> str:
        """Compare the generation and the maps that HAProxy has loaded with the files."""
        wanted = _generation(files[CONFIG].content or "")
        if not wanted:
            return ""
        if wrong := self._not_loaded(files):
            return wrong
        if self._routed is files:
            # `_route` has just compared the maps and reported differences.
            return ""
        try:
            if changes := maps.commands(self._live(files), _texts(files)):
                return f"its maps were changed while it runs: {changes[0].split()[3]}"
        except OSError:
            # A silent socket is no drift: a change then reloads HAProxy.
            pass
        return ""

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
                self._wait_until_left()
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
        body += f"\n# Below this part the host's own defaults rule.\n{_last_defaults(before)}"
        pages = "".join(self.shared_sections["pages"].values())
        return str(body.replace("@GENERATION@", _digest(body + pages)))

    def _try(self, path: str, content: str) -> Result:
        """Have HAProxy check a configuration; its messages name the target file."""
        self.system.write(path, File(content, 0o600))
        shown = self.system.run(haproxy_unit.SHOW).out
        unit = haproxy_unit.parse(shown, lambda path: self.system.read(path).content or "")
        try:
            done = self.system.run(
                unit.check(self.system.root + path), environment=unit.environment
            )
        finally:
            self.system.write(path, File(None))
        return done._replace(err=done.err.replace(self.system.root + path, CONFIG))

    def _loaded(self) -> List[str]:
        """Return the generations of our part and of the maps that HAProxy has loaded."""
        try:
            part, _space, routed = self.system.http(80, maps.GENERATION_PATH).partition(" ")
        except OSError:
            return ["", ""]
        return [part, routed]

    def _not_loaded(self, files: Files) -> str:
        """Return what is wrong with the generations that HAProxy reports."""
        states = files[maps.STATES].content or ""
        wanted = f"{_generation(files[CONFIG].content or '')} {maps.generation(states)}"
        try:
            loaded = self.system.http(80, maps.GENERATION_PATH)
        except OSError as error:
            return f"HAProxy does not answer on port 80: {error}"
        return "" if loaded == wanted else f"HAProxy has loaded another configuration: {loaded}"

    def _live(self, files: Files) -> Dict[str, maps.Entries]:
        """Return the maps that HAProxy has loaded; raise OSError if its socket fails."""
        config, live = files[CONFIG].content or "", {}
        for path in (maps.ROUTES, maps.STATES):
            answer = self._send_commands(config, [f"show map {path}"])
            live[path] = maps.loaded(answer)
            if not answer.startswith("0x") and answer.strip():
                raise OSError(answer.strip())
        return live

    def _send_commands(self, config: str, commands: List[str]) -> str:
        """Send commands to the running HAProxy; return its answers, or raise OSError."""
        refused = OSError("it has no run-time socket")
        for path, prefix in (*((path, "") for path in sockets(config)), (MASTER, "@1 ")):
            try:
                answer = self.system.send(
                    path, "; ".join(prefix + line for line in commands) + "\n"
                )
            except OSError as error:
                refused = error
                continue
            if "Permission denied" not in answer:
                return answer
        raise refused

    def _route(self, files: Files) -> str:
        """Update the loaded maps to the files; return the reason if that fails."""
        config = files[CONFIG].content or ""
        try:
            todo = maps.commands(self._live(files), _texts(files))
            if len(todo) > MOST_COMMANDS:
                return f"{len(todo)} lines of its maps were to be changed"
            while todo:
                count = max(1, _SENT_AT_ONCE // (2 * max(map(len, todo))))
                if answer := self._send_commands(config, todo[:count]).strip():
                    return f"its run-time socket said: {answer.splitlines()[0]}"
                todo = todo[count:]
        except OSError as error:
            return f"its run-time socket is of no use: {error}"
        # A reload that began before the files were renamed ends in a worker with the old ones.
        deadline = time.monotonic() + RELOAD_SECONDS
        while self.system.run(["systemctl", "is-active", "haproxy"]).out.strip() == "reloading":
            if time.monotonic() > deadline:
                return "a reload does not end"
            time.sleep(0.01)
        wrong = self._not_loaded(files)
        self._routed = None if wrong else files
        return wrong

    def _wait_for(self, files: Files) -> None:
        deadline = time.monotonic() + RELOAD_SECONDS
        while wrong := self._not_loaded(files):
            if time.monotonic() > deadline:
                raise RefusedError(
                    "HAProxy did not take the new configuration", wrong, "journalctl -u haproxy"
                )
            time.sleep(0.01)

    def _wait_until_left(self) -> None:
        deadline = time.monotonic() + RELOAD_SECONDS
        while time.monotonic() < deadline:
            try:
                if not re.match("[0-9a-f]{16}", self.system.http(80, maps.GENERATION_PATH)):
                    return
            except OSError:
                return
            time.sleep(0.01)


def _last_defaults(config: str) -> str:
    """Return the last `defaults` section of a configuration, or an empty one.

    A section without a `from` takes the last `defaults` above it: sections below our part must
    take the same as without us. A named one gets another name, since a name is there once, and only
    a named one may hold rules of http or tcp.
    """
    bodies = [body for kind, _name, body in haproxy.sections(config) if kind == "defaults"]
    lines = [line for line in "".join(bodies[-1:]).splitlines() if line.split()]
    head, *rest = [line for line in lines if not line.split()[0].startswith("#")] or ["defaults"]
    named = re.sub(r"^\s*defaults\s+(?!from\b|#)(\S+)", r"defaults \1-below-grappe", head)
    return "\n".join([named, *rest]) + "\n"


def runtime(outside: str) -> str:
    """Return the path of our run-time socket: beside the host's own, where HAProxy may write."""
    found = _SOCKET.search(outside)
    return f"{os.path.dirname(found.group(1)) if found else '/run'}/{SOCKET_NAME}"


def sockets(config: str) -> List[str]:
    """Return the run-time sockets of a configuration, ours first unless somebody removed it."""
    return sorted(_SOCKET.findall(config), key=lambda path: not path.endswith(f"/{SOCKET_NAME}"))


def _texts(files: Files) -> Dict[str, str]:
    return {path: files[path].content or "" for path in (maps.ROUTES, maps.STATES)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _generation(config: str) -> str:
    match = _GENERATION.search(config)
    return match.group(1) if match else ""


def _alerts(text: str) -> str:
    lines = [line for line in text.splitlines() if "ALERT" in line or "WARNING" in line]
    return "\n".join((lines or text.splitlines())[:6])
