"""Values of LXD's sizes, limits, settings and devices: accepted, or refused with a proposal."""

from __future__ import annotations

import pytest

from providers.lxd.container import model
from providers.lxd.options import config_keys, devices, values


@pytest.mark.parametrize(
    ("text", "words"),
    [("512MiB", ""), ("5GiB", ""), ("1000", ""), ("2G", '"2GiB", or "2GB"?'),
     ("300 Mo", '"300MiB", or "300MB"?'), ("5gb", '"5GiB", or "5GB"?'), ("2 Gio", '"2GiB"'),
     ("64k", '"64KiB", or "64kB"?'), ("lots", "is not a size, such as 512MiB"), ("0", "is not a size"),
     ("-1GiB", "is not a size"), ("1,5GiB", "is not a size"), ("1 GiB", '"1GiB"'), ("0GiB", "not a size above 0"), ("", "is not a size")],
)  # fmt: skip
def test_invalid_size_gets_a_proposal(text: str, words: str) -> None:
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
     ("memory", "٢GiB", "is not a size"), ("cpu", "٢", "processors"),
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
def test_limit_is_accepted_or_refused_with_a_reason(key: str, value: str, words: str) -> None:
    """Those that labs use are judged, others are passed on."""
    found = config_keys.problem_of_limit(key, value)
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
     ("snapshots.schedule", "*/0 * * * *", "steps of 1"), ("snapshots.schedule", "5-2 * * * *", "lower to the higher"),
     ("snapshots.schedule", "@startup,@never", "as cron"), ("snapshots.schedule", "@daily, @startup", ""),
     ("snapshots.schedule", "0 0 * jan-MAR MON", ""), ("snapshots.schedule", "0 0 * * LUN", "as cron"),
     ("snapshots.expiry", "1d 2d", "time to live"), ("snapshots.expiry", "99999999999999999999d", "time to live"),
     ("cloud-init.network-config", "a: [b", "is no YAML"), ("cloud-init.user-data", "#cloud-config\na: [b", "is no YAML"),
     ("cloud-init.network-config", "- a", "has no settings"), ("cloud-init.user-data", "#cloud-config\n- a", "has no settings"),
     ("cloud-init.network-config", "a: 2026-02-30", "is no YAML"),
     ("cloud-init.user-data", "#!/bin/sh\na: [b", ""), ("raw.idmap", "uid 1000-1005 1000-1001", "maps as many"),
     ("raw.idmap", "uid 1000-1005 2000-2005\ngid 5 5\n", ""), ("environment.", "x", "no name behind"),
     ("user.", "x", "no name behind"), ("linux.sysctl.net.", "x", "whole lab host"),
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
     ("limits.kernel.nofile", "2048", "belongs into limits, as kernel.nofile"),
     ("cluster.evacuate", "stop", ""), ("boot.autostart.delay", "٢", "whole number"),
     ("snapshots.schedule", "² * * * *", "as cron"), ("raw.idmap", "uid ٢ ٢", "both 1000 1000"),
     ("raw.idmap", "uid 5-3 7-5", "from the higher to the lower"),
     ("memory", "2GiB", "is not a setting of LXD's"), ("nonsense.key", "1", "is not a setting")],
)  # fmt: skip
def test_setting_is_accepted_or_refused_with_a_reason(key: str, value: str, words: str) -> None:
    """What LXD would refuse in the middle of an up."""
    found = config_keys.problem_of_config(key, value)
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
     ("disk", "source", "anything", ""), ("gpu", "id", "0", ""), ("gpu", "gputype", "foo", "physical, mdev"),
     ("gpu", "pci", "zz", "lspci"), ("gpu", "pci", "0000:01:00.0", ""), ("usb", "required", "maybe", "true or false"),
     ("unix-char", "major", "x", "whole number"), ("disk", "path", "/.", "own disk"), ("disk", "path", "//", "own disk"),
     ("disk", "path", "/proc/", "no server boots"), ("disk", "path", "/etc", "no server boots"),
     ("disk", "path", "/var/www", ""), ("disk", "limits.read", "٢iops", "10MiB"), ("disk", "path", "/srv/../srv", ""),
     ("disk", "limits.read", "lots", "10MiB"), ("disk", "limits.read", "100iops", ""), ("disk", "limits.max", "10MB", ""),
     ("disk", "sorce", "/srv", "Did you mean source?"), ("disk", "foo", "bar", ""), ("disk", "io.cache", "none", "virtual machines"),
     ("proxy", "listen", "tcp:localhost:8080", "takes an IP address"), ("proxy", "listen", "tcp:999.1.1.1:80", "IP address"),
     ("proxy", "listen", "tcp::8080", "tcp:127.0.0.1:80"), ("proxy", "listen", "tcp:0.0.0.0:99999", "1 to 65535"),
     ("proxy", "listen", "tcp:0.0.0.0:8090-8080", "8080-8090"), ("proxy", "listen", "tcp:0.0.0.0:8080,", "ports"),
     ("proxy", "connect", "tcp:www.example.org:80", "IP address"), ("proxy", "proxy_protocol", "yes please", "true or false"),
     ("proxy", "security.uid", "x", "whole number")],
)  # fmt: skip
def test_device_option_is_accepted_or_refused(kind: str, key: str, value: str, words: str) -> None:
    """Those whose values are more than any text."""
    found = devices.problem_of_option(kind, key, value)
    assert words in found
    assert bool(words) is bool(found)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({"type": "proxy", "listen": "tcp:0.0.0.0:1-3", "connect": "tcp:127.0.0.1:1-2"},
         "has 2 ports, and listen has 3"),
        ({"type": "proxy", "listen": "tcp:0.0.0.0:1-3", "connect": "tcp:127.0.0.1:9"}, ""),
        ({"type": "disk", "source": "/srv", "path": "/srv", "readonly": "true", "recursive": "true"}, "refused with readonly"),
        ({"type": "disk", "source": "/srv", "path": "/srv", "readonly": "true", "recursive": "false"}, ""),
        ({"type": "disk", "pool": "default", "source": "data", "path": "/srv", "shift": "true"}, "for folders of the host"),
        ({"type": "disk", "source": "cloud-init:config", "path": "/c"}, "for virtual machines"),
        ({"type": "unix-char", "source": "/srv/x", "path": "/dev/x"}, "below /dev"),
        ({"type": "unix-char", "source": "/dev/x", "path": "/srv/y"}, ""),
        ({"type": "unix-hotplug", "required": "false"}, "is missing, or a productid"),
        ({"type": "unix-hotplug", "vendorid": "1d6b"}, ""),
        ({"type": "gpu", "pci": "0000:01:00.0", "id": "0"}, "another way to say pci"),
        ({"type": "proxy", "listen": "tcp:10.0.0.1:8080", "connect": "tcp:10.64.1.10:80", "nat": "true", "bind": "instance"}, "listens at the host"),
        ({"type": "proxy", "listen": "tcp:10.0.0.1:8080", "connect": "tcp:10.64.1.10:80", "nat": "true", "proxy_protocol": "true"}, "refused with nat"),
        ({"type": "proxy", "listen": "tcp:0.0.0.0:1-3", "connect": "unix:/run/x"}, ""),
        ({"type": "disk", "path": "/", "source": "/srv"}, "is the server's own disk"),
        ({"type": "disk", "path": "/x", "source": "relative"}, "a volume has a pool too"),
        ({"type": "disk", "path": "/x", "source": "v", "pool": "default"}, ""),
        ({"type": "disk", "path": "/x", "source": "/srv", "pool": "default"}, "is a path of the host"),
        ({"type": "unix-char"}, "is missing: the device of the host"),
        ({"type": "tpm", "path": "/dev/tpm0"}, "its second path"),
        ({"type": "proxy", "listen": "udp:0.0.0.0:53", "connect": "tcp:127.0.0.1:53"}, "not of the protocol"),
        ({"type": "proxy", "listen": "tcp:0.0.0.0:8080", "connect": "tcp:127.0.0.1:80", "nat": "true"}, "one IP address"),
        ({"type": "proxy", "listen": "tcp:10.0.0.1:8080", "connect": "tcp:10.64.1.10:80", "nat": "true"}, ""),
        ({"type": "proxy", "listen": "tcp:0.0.0.0:8080", "connect": "tcp:127.0.0.1:80", "mode": "0660"}, "unix socket"),
        ({"type": "disk", "path": "/srv"}, "is missing"),
        ({"type": "disk", "path": "/srv", "source": "/srv", "size": "1GiB"}, "own disk alone"),
    ],
)  # fmt: skip
def test_contradicting_device_options_are_refused(device: dict[str, str], words: str) -> None:
    """As LXD refuses them, in the middle of an up."""
    found = [problem for _key, _value, problem in model.device_problems("side", device)]
    assert [words in problem for problem in found] == [True] * bool(words)


def test_ports_of_a_proxy_address_are_listed() -> None:
    """Lists and ranges; none of a socket."""
    assert [range(80, 81)] == devices.ports("tcp:[::]:80")
    assert [range(8080, 8091), range(9000, 9001)] == devices.ports("tcp:1.2.3.4:8080-8090,9000")
    assert [] == devices.ports("unix:/run/x")


@pytest.mark.parametrize(
    ("name", "taken"),
    [("data", True), ("a.b-c_1", True), ("na me", False), ("..", False), ("\u00e9", False), ("x" * 70, False), ("root", False), ("eth0", False)],
)  # fmt: skip
def test_device_name_is_accepted_or_refused(name: str, taken: bool) -> None:
    """LXD's own bounds; root and eth0 are the server's."""
    device = {"type": "disk", "path": "/srv", "source": "/srv"}
    assert taken is not bool(list(model.device_problems(name, device)))


def test_unknown_settings_are_recognised() -> None:
    """A preview says which settings LXD alone judges."""
    assert config_keys.is_known("boot.autostart")
    assert config_keys.is_known("user.anything")
    assert not config_keys.is_known("boot.later")
    assert devices.is_known("disk", "path")
    assert not devices.is_known("disk", "foo")
