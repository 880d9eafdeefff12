"""Building the sandbox's images with mmdebstrap, and keeping them.

A built image is kept under a name that is the hash of what went into it, so
that a changed recipe means a new image and an unchanged one means no work.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from providers import errors
from providers.hosts import command
from sandbox import layout

HERE = pathlib.Path(__file__).parent
SUITE = "bookworm"
DISK_SIZE = "16G"

HOST_PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "iproute2", "iptables",
    "nftables", "ufw", "haproxy", "lxd", "lxd-client", "btrfs-progs", "dnsmasq-base", "uidmap",
    "attr", "squashfs-tools", "xz-utils", "zstd", "python3-minimal", "netbase", "iputils-ping",
    "ca-certificates",
)  # fmt: skip
SERVER_PACKAGES = (
    "systemd-sysv", "dbus", "iproute2", "openssh-server", "nginx-light", "openssl",
    "python3-minimal", "netbase", "iputils-ping",
)  # fmt: skip


def host_disk() -> pathlib.Path:
    """Return the disk image of a fresh lab host, a sparse btrfs file; build it at need."""
    script = HERE / "customize.sh"
    target = _kept("host", ".btrfs", [SUITE, DISK_SIZE, *HOST_PACKAGES, script.read_text()])
    if not target.exists():
        with _workspace(target) as work:
            tree = work / "root.tar"
            _bootstrap(HOST_PACKAGES, tree, f'sh {script} "$1"')
            disk = work / "disk"
            _run(["truncate", "--size", DISK_SIZE, str(disk)])
            _run(["mkfs.btrfs", "--quiet", str(disk)])
            # The mount is private to this one command, so nothing can be left mounted.
            (work / "mnt").mkdir()
            unpack = 'mount -o loop "$1" "$2" && tar -x --numeric-owner --xattrs -f "$3" -C "$2"'
            _run(["unshare", "-m", "sh", "-ec", f"{unpack} && umount $2",
                  "sh", str(disk), str(work / "mnt"), str(tree)])  # fmt: skip
            disk.rename(target)
    return target


def server_image() -> pathlib.Path:
    """Return the folder with the stand-in's `metadata.tar` and `rootfs.tar`; build at need."""
    folder = HERE / "standin"
    ingredients = [path.read_text() for path in sorted(folder.iterdir()) if path.is_file()]
    public_key = authorized_key()
    target = _kept("standin", "", [SUITE, *SERVER_PACKAGES, *ingredients, public_key])
    if not target.exists():
        with _workspace(target) as work:
            recipe = work / "recipe"
            shutil.copytree(folder, recipe)
            (recipe / "authorized_keys").write_text(public_key)
            image = work / "image"
            image.mkdir()
            rootfs = image / "rootfs.tar"
            _bootstrap(SERVER_PACKAGES, rootfs, f'sh {recipe}/customize.sh "$1" {recipe}')
            (work / "metadata.yaml").write_text(
                f"architecture: {os.uname().machine}\ncreation_date: {int(time.time())}\n"
                "properties:\n  os: debian\n  release: bookworm\n"
                "  description: Debian 12 with a stand-in for YunoHost\n"
            )
            _run(["tar", "-cf", str(image / "metadata.tar"), "-C", str(work), "metadata.yaml"])
            image.rename(target)
    return target


def authorized_key() -> str:
    """Return the public key of this machine's sandboxes; make the pair at need."""
    private = layout.key()
    if not private.exists():
        private.parent.mkdir(parents=True, exist_ok=True)
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "grappe-sandbox",
              "-f", str(private)])  # fmt: skip
    return private.with_suffix(".pub").read_text()


def _kept(kind: str, suffix: str, ingredients: list[str]) -> pathlib.Path:
    digest = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()[:16]
    folder = layout.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{kind}-{digest}{suffix}"


@contextlib.contextmanager
def _workspace(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary folder beside the target, so that the last step is one rename."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        yield pathlib.Path(folder)


def _bootstrap(packages: tuple[str, ...], target: pathlib.Path, hook: str) -> None:
    _run(
        [
            "mmdebstrap", "--quiet", "--mode=root", "--variant=important", "--format=tar",
            f"--include={','.join(packages)}", f"--customize-hook={hook}", SUITE, str(target),
        ]
    )  # fmt: skip


def _run(argv: list[str]) -> None:
    done = command.execute(argv, timeout=900)
    if not done.ok:
        raise errors.CommandError(f"`{argv[0]}` failed while building an image", seen=done.tail())
