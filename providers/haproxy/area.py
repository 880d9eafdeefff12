"""The managed part of haproxy.cfg, its maps, and what HAProxy has really loaded.

Runs on the host: standard library alone. The maps are in a folder named by
their content, which the managed part names: one rename commits both. The
frontend answers which generation is loaded, so a reload is verified by one
real request.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from typing import Any, Dict, List, Mapping

from providers.fragments import document
from providers.fragments.area import Area, Files, Fragment
from providers.fragments.system import File, RefusedError, System
from providers.haproxy import by_hand

CONFIG = "/etc/haproxy/haproxy.cfg"
MAPS = "/var/lib/grappe/haproxy/maps"
# What stands around our part, while it is asked whether that alone is valid.
OUTSIDE = "/var/lib/grappe/haproxy/outside.cfg"
# Says that HAProxy did not run before us.
WAS_STOPPED = "/var/lib/grappe/haproxy/was-stopped"
DISABLED = "disabled"
# What stood around our part when HAProxy last took it; the preflight asks of nothing else.
LOADED = "/var/lib/grappe/haproxy/loaded"
GENERATION_PATH = "/.grappe-generation"
RELOAD_SECONDS = 10.0
_GENERATION = re.compile(r'string "([0-9a-f]{16})" if \{ path /\.grappe-generation')


class HaproxyArea(Area):
    """The backends of one host."""

    name = "haproxy"

    def __init__(self, system: System, frame: Mapping[str, Any]) -> None:
        super().__init__(system, frame)
        self._maps: Dict[str, str] = {}
        self._outside = ""

    def paths(self) -> List[str]:
        """Return the one file that the backends stand in."""
        return [CONFIG]

    def compile(self, fragments: List[Fragment], current: Files) -> Files:
        """Return the configuration with these backends, or without any part of ours."""
        config = current[CONFIG]
        if not fragments:
            return {CONFIG: File(document.remove(config.content))}
        if config.content is None:
            raise RefusedError(f"there is no {CONFIG}", do="apt install haproxy")
        content = self._adopt(fragments, config.content)
        outside = document.split(content)
        self._outside = outside.before + outside.after
        body = self._body(fragments, self._outside, outside.before)
        return {CONFIG: File(document.put(content, body))}

    def _adopt(self, fragments: List[Fragment], config: str) -> str:
        """Take over the routing by hand where every domain of it is a lab's that is told to."""
        adopted = {domain for f in fragments for domain in f["parts"].get("adopts", ())}
        if not adopted:
            return config
        strays = sorted(by_hand.domains(config) - adopted)
        if strays:
            raise RefusedError(
                f"{CONFIG} routes {', '.join(strays)} by hand, which no server of the lab has",
                do="give a server of the lab that domain, or take it out of the file",
            )
        if others := by_hand.unaccounted(config):
            raise RefusedError(
                f"{CONFIG} routes by hand by something else than domains",
                "; ".join(others[:3]),
                "take it out of the file, or give it a port of its own",
            )
        return by_hand.without(config)

    def validate(self, files: Files, staged: Dict[str, str]) -> None:
        """Have HAProxy check the staged file; tell apart whose mistake it is."""
        self._write_maps()
        done = self.system.run(["haproxy", "-c", "-f", staged[CONFIG]])
        # Status 2: valid, and without a listener, as the file is when we have left.
        if done.status == 0 or (done.status == 2 and not _generation(files[CONFIG].content or "")):
            return
        self._sweep_maps(self.system.read(CONFIG).content or "", spare=0)
        self.system.write(OUTSIDE, File(self._outside, 0o600))
        before = self.system.run(["haproxy", "-c", "-f", self.system.root + OUTSIDE])
        self.system.write(OUTSIDE, File(None))
        blame = "Grappe's part of it" if before.status == 0 else "it was invalid before Grappe"
        seen = done.err if before.status == 0 else before.err.replace(OUTSIDE, CONFIG)
        raise RefusedError(
            f"{CONFIG} is not valid ({blame})",
            _alerts(seen.replace(staged[CONFIG], CONFIG)),
            f"haproxy -c -f {CONFIG}",
        )

    def activate(self, files: Files) -> None:
        """Reload HAProxy, or start it; never restart, which would cut connections."""
        self._write_maps()
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
        outside = document.split(files[CONFIG].content or "")
        self.system.write(LOADED, File(outside.before + outside.after, 0o600))
        self._sweep_maps(files[CONFIG].content or "", spare=1)

    def verify(self, files: Files) -> str:
        """Ask HAProxy itself which generation it has loaded."""
        wanted = _generation(files[CONFIG].content or "")
        if not wanted:
            return ""
        if not os.path.isdir(self.system.root + _maps_in(files[CONFIG].content or "")):
            return "its maps are gone"
        try:
            loaded = self.system.http(80, GENERATION_PATH)
        except OSError as error:
            return f"HAProxy does not answer on port 80: {error}"
        return "" if loaded == wanted else f"HAProxy has loaded another configuration: {loaded}"

    def leave(self) -> None:
        """Reload what is left, or stop HAProxy where it did not run before us."""
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
        for path in (WAS_STOPPED, LOADED):
            self.system.write(path, File(None))
        shutil.rmtree(self.system.root + MAPS, ignore_errors=True)

    def _body(self, fragments: List[Fragment], outside: str, before: str) -> str:
        maps = _render_maps(fragments)
        folder = f"{MAPS}/{_digest(''.join(maps.values()))}"
        self._maps = {f"{folder}/{kind}.map": content for kind, content in maps.items()}
        default: str = next((f["parts"]["label"] for f in fragments if f["parts"]["default"]), "")
        frontends = self.frame["frontends"].replace("@MAPS@", folder)
        for kind in ("https", "http"):
            backend = f"{default}.{kind}" if default else f"grappe_unknown_{kind}"
            frontends = frontends.replace(
                f"@DEFAULT_{kind.upper()}@", f"    default_backend {backend}"
            )
        # The bound on old workers is the host's to choose where it has chosen.
        bound = (
            ""
            if re.search(r"^\s*hard-stop-after", outside, re.MULTILINE)
            else (f"global\n    {self.frame['hard_stop']}\n\n")
        )
        body = bound + frontends + "".join(f["parts"]["sections"] for f in fragments)
        body += f"\n# Below this part the host's own defaults rule.\n{_last_defaults(before)}"
        return str(body.replace("@GENERATION@", _digest(body)))

    def _write_maps(self) -> None:
        """Write the maps of what was compiled; their folder's name is their content's."""
        for path, content in self._maps.items():
            if self.system.read(path).content != content:
                self.system.write(path, File(content, 0o644))

    def _sweep_maps(self, config: str, *, spare: int) -> None:
        """Remove the maps that a configuration does not name, but for the newest `spare`."""
        folder = self.system.root + MAPS
        if not os.path.isdir(folder):
            return
        kept = os.path.basename(_maps_in(config))
        others = [entry for entry in os.scandir(folder) if entry.name != kept]
        others.sort(key=lambda entry: entry.stat().st_mtime)
        for entry in others[: len(others) - spare] if len(others) > spare else []:
            shutil.rmtree(entry.path, ignore_errors=True)
        if not os.listdir(folder):
            os.rmdir(folder)

    def _wait_for(self, files: Files) -> None:
        deadline = time.monotonic() + RELOAD_SECONDS
        while wrong := self.verify(files):
            if time.monotonic() > deadline:
                raise RefusedError(
                    "HAProxy did not take the new configuration", wrong, "journalctl -u haproxy"
                )
            time.sleep(0.01)

    def _wait_until_left(self) -> None:
        deadline = time.monotonic() + RELOAD_SECONDS
        while time.monotonic() < deadline:
            try:
                if not re.fullmatch("[0-9a-f]{16}", self.system.http(80, GENERATION_PATH)):
                    return
            except OSError:
                return
            time.sleep(0.01)


def _last_defaults(config: str) -> str:
    """Return the last `defaults` section of a configuration, without its name; or an empty one.

    A section without a `from` takes the last `defaults` above it: what stands below ours is to
    take the same as without us.
    """
    found, inside = ["defaults"], False
    for line in config.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not line[0].isspace():
            inside = words[0] == "defaults"
            if inside:
                found = [re.sub(r"^defaults\s+(?!from\b)\S+", "defaults", line)]
        elif inside:
            found.append(line)
    return "\n".join(found) + "\n"


def _render_maps(fragments: List[Fragment]) -> Dict[str, str]:
    return {
        kind: "".join(
            f"{domain} {fragment['parts']['label']}.{kind}\n"
            for fragment in fragments
            for domain in fragment["parts"]["domains"]
        )
        for kind in ("https", "http")
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _generation(config: str) -> str:
    match = _GENERATION.search(config)
    return match.group(1) if match else ""


def _maps_in(config: str) -> str:
    match = re.search(rf"map\(({re.escape(MAPS)}/[0-9a-f]+)/https\.map\)", config)
    return match.group(1) if match else ""


def _alerts(text: str) -> str:
    lines = [line for line in text.splitlines() if "ALERT" in line or "WARNING" in line]
    return "\n".join((lines or text.splitlines())[:6])
