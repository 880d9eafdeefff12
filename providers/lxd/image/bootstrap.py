"""Make a root file system with mmdebstrap on this machine, and cache it."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import tempfile
import time

from core import errors, names
from hosts import command
from providers.lxd.image import model

BUILD_SECONDS = 1800
# A container gets its address by DHCP, and its identity at its first boot.
CUSTOMIZE = """\
set -eu
mkdir -p "$1/etc/systemd/network"
printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\nLinkLocalAddressing=no\\nIPv6AcceptRA=no\\n' \
    > "$1/etc/systemd/network/eth0.network"
chroot "$1" systemctl enable systemd-networkd >/dev/null 2>&1
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer \\
    systemd-networkd-wait-online; do
    chroot "$1" systemctl mask "$unit" >/dev/null 2>&1
done
# The build machine's resolver is not the bridge's, which DHCP tells.
rm -f "$1/etc/resolv.conf"
if [ -e "$1/lib/systemd/system/systemd-resolved.service" ]; then
    chroot "$1" systemctl enable systemd-resolved >/dev/null 2>&1
    ln -s /run/systemd/resolve/resolv.conf "$1/etc/resolv.conf"
fi
rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/dbus/machine-id "$1"/etc/hostname
: > "$1/etc/machine-id"
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*
"""


def files(spec: model.ImageSpec) -> tuple[str, str]:
    """Return metadata and root file system of a bootstrapped image; build them if missing.

    Raises:
        errors.GrappeError: mmdebstrap is missing, may not run, or fails, with its output.
    """
    made_by = hashlib.sha256(CUSTOMIZE.encode()).hexdigest()[:8]
    target = names.cache() / "images" / f"base-{model.digest(spec)[:16]}-{made_by}"
    if not target.exists():
        _require_mmdebstrap()
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
            # mmdebstrap's other users must be able to enter it.
            work = pathlib.Path(folder)
            work.chmod(0o755)
            _build(spec, work)
            if not target.exists():
                (work / "image").rename(target)
    return str(target / "metadata.tar"), str(target / "rootfs.tar")


def _require_mmdebstrap() -> None:
    if shutil.which("mmdebstrap") is None:
        raise errors.HostError(
            "a bootstrapped base image needs mmdebstrap on this machine",
            do="apt install mmdebstrap",
        )
    if os.geteuid() != 0:
        raise errors.HostError(
            "a bootstrapped base image needs root on this machine",
            do="run this as root, or give the recipe a base from a remote or from files",
        )


def _build(spec: model.ImageSpec, work: pathlib.Path) -> None:
    image, hook = work / "image", work / "customize.sh"
    image.mkdir()
    hook.write_text(CUSTOMIZE)
    argv = [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=important", "--format=tar",
        f"--include={','.join(spec.packages)}", f'--customize-hook=sh {hook} "$1"', spec.suite,
        str(image / "rootfs.tar"), *([spec.mirror] if spec.mirror else []),
    ]  # fmt: skip
    (work / "metadata.yaml").write_text(model.metadata_yaml(spec, int(time.time())))
    packed = ["tar", "-cf", str(image / "metadata.tar"), "-C", str(work), "metadata.yaml"]
    for step in (argv, packed):
        done = command.execute(step, timeout=BUILD_SECONDS)
        if not done.ok:
            raise errors.CommandError(
                f"`{step[0]}` failed while the base image {spec.name} was made", seen=done.tail()
            )
