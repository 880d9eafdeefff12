"""The plan of a preflight: the lab's requirements on its host; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from checks.preflight.spec import PlannedProxy, PlannedServer, PreflightSpec
from providers.lxd.options import config_keys, devices, values
from remote.names import GPU, SHIFT
from stacks.spec import LabSpec


def plan(lab: LabSpec, common: Mapping[str, Any]) -> PreflightSpec:
    """Return the preflight of a lab; `common` has the fields `host`, `owner` and `lab`."""
    published = {item.publish for item in lab.servers if item.publish}
    return PreflightSpec(
        **common,
        name="preflight",
        number=lab.number,
        student=lab.student,
        project=lab.project,
        bridge=lab.bridge,
        subnet=lab.subnet,
        address=lab.address,
        profiles=lab.profiles,
        default=lab.default,
        adopt=lab.adopt,
        servers=tuple(
            PlannedServer(
                name=item.name,
                domain=item.domain,
                port=item.port,
                address=item.address,
                image="" if item.image in published else item.image,
                source=item.image,
                ephemeral=item.ephemeral,
                state=item.state,
                target=item.target,
                volumes=tuple(f"{each.pool}/{each.name}" for each in item.volumes),
                disk=values.size(item.disk) or 0,
                snapshots=item.snapshots,
            )
            for item in lab.servers
        ),
        login=lab.login if lab.post_install else "",
        interface=lab.interface,
        pools=_pools(lab),
        paths=_paths(lab),
        modules=_modules(lab),
        addresses=_addresses(lab),
        abilities=tuple(_abilities(lab)),
        proxies=_proxies(lab),
        unchecked=_unchecked(lab),
        workstation=lab.workstation,
        relay=lab.tunnel.relay if lab.tunnel else "",
        listens=tuple(forward.listen for forward in (lab.tunnel.forwards if lab.tunnel else ())),
        needs=tuple(need for item in lab.servers if item.read for need in item.read.needs),
    )


def _pools(lab: LabSpec) -> tuple[tuple[str, str], ...]:
    """Return the storage pools that a lab names, with the keys that name them."""
    sized = [("grappe:pool", lab.pool)] if any(item.disk for item in lab.servers) else []
    return (*sized, *(
        (f"grappe:servers[{index}].volumes[{number}].pool", volume.pool)
        for index, item in enumerate(lab.servers)
        for number, volume in enumerate(item.volumes)
    ), *(
        (f"grappe:servers[{index}].devices.{name}.pool", device["pool"])
        for index, item in enumerate(lab.servers)
        for name, device in item.devices.items()
        if device.get("pool") and name not in {volume.name for volume in item.volumes}
    ))  # fmt: skip


def _unchecked(lab: LabSpec) -> tuple[str, ...]:
    """Return the settings that Grappe passes on to LXD without knowing them."""
    found = []
    for index, item in enumerate(lab.servers):
        start = f"grappe:servers[{index}]"
        found += [f"{start}.config.{key}" for key in item.config if not config_keys.is_known(key)]
        found += [
            f"{start}.devices.{name}.{key}"
            for name, device in item.devices.items()
            for key in device
            if not devices.is_known(device.get("type", ""), key)
        ]
    return tuple(found)


def _paths(lab: LabSpec) -> tuple[tuple[str, str], ...]:
    """Return the files and devices of the host that a lab's servers require."""
    return tuple(
        (f"grappe:servers[{index}].devices.{name}.source", device["source"])
        for index, item in enumerate(lab.servers)
        for name, device in item.devices.items()
        if device.get("type") in ("disk", "unix-char", "unix-block")
        and device.get("source", "").startswith("/")
        and device.get("required", "true") != "false"
    )


def _modules(lab: LabSpec) -> tuple[tuple[str, str], ...]:
    """Return the kernel modules that a lab's servers require."""
    key = "linux.kernel_modules"
    return tuple(
        (f"grappe:servers[{index}].config.{key}", name)
        for index, item in enumerate(lab.servers)
        for name in item.config.get(key, "").replace(" ", "").split(",")
        if name
    )


def _addresses(lab: LabSpec) -> tuple[tuple[str, str], ...]:
    """Return the addresses of the host at which devices of a lab's servers listen."""
    return tuple(
        (f"grappe:servers[{index}].devices.{name}.listen", address)
        for index, item in enumerate(lab.servers)
        for name, device in item.devices.items()
        if device.get("type") == "proxy" and device.get("bind", "host") == "host"
        if (address := devices.listen_address(device.get("listen", "")))
    )


def _abilities(lab: LabSpec) -> Iterator[tuple[str, str]]:
    """Yield the abilities of the host that devices and settings of a lab's servers require."""
    for index, item in enumerate(lab.servers):
        for name, device in item.devices.items():
            key = f"grappe:servers[{index}].devices.{name}"
            if device.get("type") == "gpu":
                yield f"{key}.type", GPU
            if device.get("type") == "disk" and device.get("shift", "").lower() in values.TRUE:
                yield f"{key}.shift", SHIFT
        for kind, ids in config_keys.mapped(item.config.get("raw.idmap", "")):
            yield f"grappe:servers[{index}].config.raw.idmap", f"{kind} {ids[0]}-{ids[-1]}"


def _proxies(lab: LabSpec) -> tuple[PlannedProxy, ...]:
    """Return the ports of the host at which devices of a lab's servers listen."""
    return tuple(
        PlannedProxy(
            key=f"grappe:servers[{index}].devices.{name}.listen", first=part[0], last=part[-1]
        )
        for index, item in enumerate(lab.servers)
        for name, device in item.devices.items()
        if device.get("type") == "proxy" and device.get("bind", "host") == "host"
        and device.get("listen", "").startswith("tcp:")
        for part in devices.ports(device["listen"])
        if part
    )  # fmt: skip
