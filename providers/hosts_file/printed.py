"""Hosts entries that Grappe may not write: it prints them, and checks for them."""

from __future__ import annotations

from hosts.host import Host
from providers import base
from providers.hosts_file import model


class PrintedDriver(base.Driver[model.EntrySpec]):
    """Entries of a workstation whose login may not become root."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def create(self, spec: model.EntrySpec) -> base.Outputs:
        """Print the missing lines."""
        self._print_missing(spec)
        return {}

    def read(self, spec: model.EntrySpec) -> base.Reading[model.EntrySpec]:
        """Return the wanted spec, and print the missing lines: probes need no entry."""
        self._print_missing(spec)
        return base.Reading(spec)

    def delete(self, spec: model.EntrySpec) -> None:
        """Print the lines that the user may remove."""
        if len(self._missing(spec)) < len(spec.domains):
            base.report(
                spec, [f"no longer needs this line in {self._host.etc_hosts}: {_line(spec)}"]
            )

    def _print_missing(self, spec: model.EntrySpec) -> None:
        if self._missing(spec):
            file, url = self._host.etc_hosts, self._host.url
            reason = f"which the login on {url} may not write"
            base.report(spec, [f"needs this line in {file}, {reason}: {_line(spec)}"])

    def _missing(self, spec: model.EntrySpec) -> list[str]:
        text = self._host.run(["cat", self._host.etc_hosts], root=False, check=False).stdout
        lines = [line.partition("#")[0].split() for line in text.splitlines()]
        known = {name for line in lines if line[:1] == [spec.address] for name in line[1:]}
        return [domain for domain in spec.domains if domain not in known]


def _line(spec: model.EntrySpec) -> str:
    return f"{spec.address} {' '.join(spec.domains)}"
