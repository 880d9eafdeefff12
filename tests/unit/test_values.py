"""What LXD takes, and what people write."""

from __future__ import annotations

import pytest

from providers.lxd import values
from providers.lxd.container import model


@pytest.mark.parametrize(
    ("text", "words"),
    [("512MiB", ""), ("5GiB", ""), ("1000", ""), ("2G", '"2GiB", or "2GB"?'),
     ("300 Mo", '"300MiB", or "300MB"?'), ("5gb", '"5GiB", or "5GB"?'), ("2 Gio", '"2GiB"'),
     ("64k", '"64KiB", or "64kB"?'), ("lots", "is not a size, such as 512MiB"), ("0", "is not a size"),
     ("-1GiB", "is not a size"), ("1,5GiB", "is not a size"), ("1 GiB", '"1GiB"'), ("0GiB", "not a size above 0"), ("", "is not a size")],
)  # fmt: skip
def test_a_size_with_what_may_be_meant(text: str, words: str) -> None:
    """LXD's own units pass; a teacher's are turned into them."""
    found = values.problem_of_size(text)
    assert words in found
    assert bool(words) is bool(found)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("memory", "50%", ""), ("memory", "1MiB", "too little"), ("memory", "9223372036854775808", "too large"),
     ("processes", "9223372036854775808", "too large"), ("memory", "2G", "2GiB"), ("memory", "0%", "is not a size"), ("memry", "1GiB", "memory?"),
     ("limits.memory", "1GiB", "Did you mean memory?"), ("cpu.nodes", "0", ""), ("memory", "150%", "is not a size"),
     ("cpu", "2", ""), ("cpu", "0-3", ""), ("cpu", "0,2", ""), ("cpu", "two", "processors"),
     ("cpu", "0", "processors"), ("cpu", "1,1", "twice"), ("cpu", "0-2,1", "twice"), ("cpu.allowance", "50%", ""), ("cpu.allowance", "half", "50%"),
     ("cpu.allowance", "25ms/100ms", ""), ("processes", "500", ""), ("processes", "many", "whole"),
     ("memory.swap", "false", ""), ("memory.swap", "1GiB", "true or false"),
     ("kernel.nofile", "beaucoup", "1024:2048"), ("kernel.nproc", "1024:unlimited", ""),
     ("hugepages.2MB", "64 Mo", "64MiB"), ("hugepages.2MB", "64MiB", ""),
     ("memory.enforce", "soft", ""), ("memory.enforce", "mild", "hard, soft"),
     ("disk.priority", "11", "0 to 10"), ("kernel.nofile", "9", "64 or more"),
     ("kernel.nofile", "1024", ""), ("kernel.nofile", "unlimited", "more than Linux allows"),
     ("kernel.nofile", "1048576:99999999999", "more than Linux allows"), ("kernel.stack", "100", "1048576 or more"),
     ("kernel.nproc", "100:50", "above the hard one"), ("kernel.memlock", "unlimited", ""),
     ("kernel.core", "0", ""), ("kernel.nofiles", "1024", "Did you mean nofile?"), ("kernel.as", "1000", "or more")],
)  # fmt: skip
def test_a_limit(key: str, value: str, words: str) -> None:
    """Those that labs use are judged, others are passed on."""
    found = values.problem_of_limit(key, value)
    assert words in found
    assert bool(words) is bool(found)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("boot.autostart", "true", ""), ("boot.autostart", "oui", "true or false"),
     ("boot.autostart.priority", "9", ""), ("boot.autostart.priority", "high", "whole number"),
     ("security.nesting", "yes", ""), ("user.course", "tp1", ""), ("raw.lxc", "x=1", "begin with lxc."),
     ("raw.lxc", "lxc.mount.auto = cgroup\n# ours\n\nLXC.Cap.drop=", ""), ("raw.lxc", "lxc.mount.auto", 'without a "="'),
     ("raw.lxc", "lxc.foo=1", "not a setting of LXC's"), ("raw.lxc", "lxc.log.level=9", "LXD sets itself"),
     ("raw.lxc", "lxc.prlimit.nofile=9", "limits.kernel.nofile"), ("raw.lxc", "lxc.net.0.type=veth", "device of LXD's"),
     ("raw.lxc", "lxc.net.0.ipv4.address=10.0.0.2", ""), ("raw.lxc", "lxc.rootfs.path=/tmp", "LXD sets itself"),
     ("raw.seccomp", "x", "its version"), ("raw.seccomp", "2\nblacklist\n", ""),
     ("linux.kernel_modules", "wireguard, ip_tables", ""), ("linux.kernel_modules", "wire guard", "list of kernel modules"),
     ("linux.sysctl.vm.max_map_count", "3", "of the whole lab host"), ("linux.sysctl.kernel.shmmax", "9", ""),
     ("linux.sysctl.net/ipv4/ip_forward", "1", ""), ("environment.PATH", "x", "absolute folders"),
     ("environment.PATH", "/usr/bin:/bin", ""), ("security.idmap.size", "1", "65536"),
     ("security.idmap.base", "-4", "whole number"), ("security.idmap.size", "70000", ""),
     ("security.protection.delete", "true", "keeps Grappe from removing"),
     ("security.nestin", "true", "Did you mean security.nesting?"),
     ("boot.autostrat", "true", "Did you mean boot.autostart?"), ("security.agent.future", "x", ""),
     ("environment.LANG", "fr", ""), ("linux.sysctl.net.core.somaxconn", "9", ""),
     ("snapshots.schedule", "@daily", ""), ("snapshots.schedule", "0 6 * * *", ""),
     ("snapshots.schedule", "tous les jours", "as cron has it"), ("snapshots.expiry", "2w", ""),
     ("snapshots.expiry", "2 weeks", "a time to live"), ("raw.idmap", "both 1000 1000", ""),
     ("raw.idmap", "1000", "both 1000 1000"), ("cloud-init.user-data", "#cloud-config\n", ""),
     ("snapshots.schedule", "61 * * * *", "61 for the minute, which goes from 0 to 59"),
     ("snapshots.schedule", "*/5 0-6,12 * * 1-5", ""), ("snapshots.schedule", "0 6 * *", "as cron"),
     ("snapshots.schedule", "0 6 0 * *", "day of the month"), ("raw.qemu", "x", "virtual machines"),
     ("security.secureboot", "false", "virtual machines"), ("environment.X", "a\nb", "line break"),
     ("migration.stateful", "true", "virtual machines"),
     ("memory", "2GiB", "is not a setting of LXD's"), ("nonsense.key", "1", "is not a setting")],
)  # fmt: skip
def test_a_setting(key: str, value: str, words: str) -> None:
    """What LXD would refuse in the middle of an up."""
    found = values.problem_of_config(key, value)
    assert words in found
    assert bool(words) is bool(found)


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [("proxy", "listen", "tcp:0.0.0.0:8080", ""), ("proxy", "listen", "tcp:[::]:8080-8090,9000", ""),
     ("proxy", "connect", "unix:/run/x.sock", ""), ("proxy", "connect", "127.0.0.1:80", "unix:/run/x"),
     ("proxy", "bind", "hote", "host, guest"), ("disk", "path", "srv", "begins with /"),
     ("disk", "readonly", "oui", "true or false"), ("disk", "size", "5G", "5GiB"),
     ("disk", "propagation", "foo", "rprivate"), ("unix-char", "mode", "9999", "octal"),
     ("unix-char", "mode", "0660", ""), ("usb", "vendorid", "xyz", "lsusb"), ("usb", "vendorid", "1d6b", ""),
     ("disk", "source", "anything", ""), ("gpu", "id", "0", "")],
)  # fmt: skip
def test_an_option_of_a_device(kind: str, key: str, value: str, words: str) -> None:
    """Those whose values are more than any text."""
    found = values.problem_of_device(kind, key, value)
    assert words in found
    assert bool(words) is bool(found)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({"type": "proxy", "listen": "tcp:0.0.0.0:1-3", "connect": "tcp:127.0.0.1:1-2"},
         "has 2 ports, and listen has 3"),
        ({"type": "proxy", "listen": "tcp:0.0.0.0:1-3", "connect": "tcp:127.0.0.1:9"}, ""),
        ({"type": "proxy", "listen": "tcp:0.0.0.0:1-3", "connect": "unix:/run/x"}, ""),
        ({"type": "disk", "path": "/", "source": "/srv"}, "is the server's own disk"),
        ({"type": "disk", "path": "/srv"}, "is missing"),
        ({"type": "disk", "path": "/srv", "source": "/srv", "size": "1GiB"}, "own disk alone"),
    ],
)  # fmt: skip
def test_options_of_a_device_that_contradict_each_other(device: dict[str, str], words: str) -> None:
    """As LXD refuses them, in the middle of an up."""
    found = [problem for _key, _value, problem in model.device_problems("side", device)]
    assert [words in problem for problem in found] == [True] * bool(words)


def test_the_ports_of_a_proxys_address() -> None:
    """Lists and ranges; none of a socket."""
    assert [range(80, 81)] == values.ports("tcp:[::]:80")
    assert [range(8080, 8091), range(9000, 9001)] == values.ports("tcp:1.2.3.4:8080-8090,9000")
    assert [] == values.ports("unix:/run/x")
