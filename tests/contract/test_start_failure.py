"""Containers that LXD creates and cannot start: the error has the cause, and delete works."""

from __future__ import annotations

import dataclasses

import pytest

from core import errors
from providers.lxd import fake
from providers.lxd.container import driver as containers
from providers.lxd.container import start_failure
from tests.contract.conftest import LxdTestbed
from tests.contract.test_lxd import container_driver, server

LOG = (
    b"lxc a 2026 TRACE    conf - ../src/lxc/conf.c:lxc_map_ids:3600 - Mapping\n"
    b"lxc a 2026 ERROR    conf - ../src/lxc/conf.c:setup_resource_limits:3321 - Operation not "
    b"permitted - Failed to set limit nofile\n"
    b"lxc a 2026 ERROR    start - ../src/lxc/start.c:lxc_spawn:1853 - Failed to setup resource limits\n"
    b"lxc a 2026 ERROR    lxccontainer - ../src/lxc/x.c:y:8 - Received container state\n"
)
REFUSED = errors.DaemonError(
    "LXD failed: PUT instances/yuno1/state", seen="forkstart: exit status 1"
)
real = pytest.mark.parametrize(
    "testbed", [pytest.param("real", marks=pytest.mark.sandbox)], indirect=True
)


@real
class TestOnTheRealDaemon:
    """LXD itself says `forkstart: exit status 1` of all of these, or nothing."""

    def test_refused_start_is_explained(self, lab: LxdTestbed) -> None:
        """LXC's log has the reason; the container can be removed at once."""
        driver, spec = container_driver(lab), server(lab)
        spec = dataclasses.replace(spec, config={"raw.idmap": "both 1000 1000"})
        with pytest.raises(errors.DaemonError) as raised:
            driver.create(spec)
        assert "yuno1 does not start" in raised.value.brief
        assert "newuidmap: uid range [1000-1001)" in raised.value.seen
        assert "add root:1000:1 to /etc/subuid and /etc/subgid" in raised.value.do
        driver.delete(spec)
        assert driver.read(spec) is None

    @pytest.mark.parametrize("ended_by", ["create", "delete"])
    def test_hung_start_is_ended(
        self, lab: LxdTestbed, monkeypatch: pytest.MonkeyPatch, ended_by: str
    ) -> None:
        """LXC's monitor waits for ever: without its end LXD removes nothing, and `lxc list` hangs."""
        monkeypatch.setattr(containers, "GRACE_SECONDS", 1)
        monkeypatch.setattr(containers, "START_SECONDS", 5)
        driver, spec = container_driver(lab), server(lab)
        spec = dataclasses.replace(spec, limits={"kernel.stack": "100"})
        if ended_by == "delete":
            monkeypatch.setattr(lab.lxd, "unblock", lambda *_arguments, **_options: False)
        with pytest.raises(errors.DaemonError, match="did not finish|does not start"):
            driver.create(spec)
        monkeypatch.undo()
        driver.delete(spec)
        assert driver.read(spec) is None
        assert "" == lab.on_host("ps axo args | grep -e '[l]xd forkstart' || true")


class TestDiagnose:
    """`start_failure.diagnose`: LXC's log as an error with a remedy."""

    def explained(self, log: bytes, *, hung: bool = False) -> errors.DaemonError:
        """Return the error of a start with this log."""
        lxd = fake.FakeLxd()
        lxd.read_file = lambda *_arguments, **_options: log  # type: ignore[method-assign]
        testbed = LxdTestbed("ssh://fake", lxd, lambda *_: "", "standin", lambda: None)  # type: ignore[arg-type, return-value]
        return start_failure.diagnose(lxd, server(testbed), REFUSED, hung=hung)

    def test_first_errors_and_their_remedy_are_shown(self) -> None:
        """The later ones follow from them."""
        found = self.explained(LOG)
        assert (
            "Operation not permitted - Failed to set limit nofile\nFailed to setup resource limits"
        ) == found.seen
        assert "a kernel limit in its limits is out of bounds" in found.do
        assert "lxc info yuno1 --project grappe-contract --show-log" in found.do

    def test_log_without_an_error_leaves_the_refusal(self) -> None:
        """A hung start logs no error either, and is reported as hung."""
        assert REFUSED is self.explained(b"nothing here\n")
        assert "hangs at once; Grappe ended the start" in self.explained(b"", hung=True).seen

    @pytest.mark.parametrize(
        ("message", "words"),
        [
            ("newgidmap: gid range [33-34) -> [33-34) not allowed", "add root:33:1"),
            ("Failed to setup sysctl parameters net.nope to 3", "a linux.sysctl setting"),
            ("Failed to load seccomp policy", "raw.seccomp"),
            ('Failed to mount "/nope" on "/usr/lib/nope"', "cannot be mounted"),
            ("Failed to spawn container", "what changed last in its config"),
        ],
    )  # fmt: skip
    def test_remedy_follows_from_the_message(self, message: str, words: str) -> None:
        """The remedy of an unknown message names the settings."""
        assert words in start_failure.remedy([message])
