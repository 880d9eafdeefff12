"""Build the sandbox's images with mmdebstrap, and cache them.

The hash of its ingredients names a built image, so that a changed recipe means
a new image and an unchanged one means no work.
"""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from core import names
from hosts import command
from providers.lxd.image import bootstrap
from providers.lxd.image.model import ImageSpec
from sandbox import systems
from sandbox.layout import private_key
from stacks import recipe as recipes

HERE = pathlib.Path(__file__).parent
DISK_SIZE = "16G"

SERVER_RECIPE = "standin"
# The recipe's steps, as a builder runs them in LXD; and a user of the sandbox's own, who can log in
# with the key of this machine's sandboxes, by a group that YunoHost's sshd lets in too.
_STEPS = """\
tar -x --numeric-owner --xattrs -f "$1" -C "$2"
chroot "$2" sh -eu < "$3"
chroot "$2" groupadd ssh.main
chroot "$2" useradd --create-home --shell /bin/bash --groups ssh.main admin
for home in root home/admin; do
    mkdir -p -m 0700 "$2/$home/.ssh"
    cp "$4" "$2/$home/.ssh/authorized_keys"
done
chroot "$2" chown -R admin:admin /home/admin/.ssh
tar -c --numeric-owner --xattrs -f "$5" -C "$2" .
"""


def disk(system: systems.System) -> pathlib.Path:
    """Return the disk image of a fresh machine, a sparse btrfs file; build it if missing."""
    script = HERE / "customize.sh"
    ingredients = [system.suite, DISK_SIZE, *system.packages, *system.offline, script.read_text()]
    target = _kept(system.name, ".btrfs", ingredients)
    if not target.exists():
        with _workspace(target) as work:
            tree = work / "root.tar"
            hook = f'sh {script} "$1" {" ".join(system.offline)}'
            _run(["mmdebstrap", "--quiet", "--mode=root", "--variant=important", "--format=tar",
                  f"--include={','.join(system.packages)}", f"--customize-hook={hook}",
                  system.suite, str(tree)])  # fmt: skip
            made = work / "disk"
            _run(["truncate", "--size", DISK_SIZE, str(made)])
            _run(["mkfs.btrfs", "--quiet", str(made)])
            # The mount is private to this one command, so it cannot outlive it.
            (work / "mnt").mkdir()
            unpack = 'mount -o loop "$1" "$2" && tar -x --numeric-owner --xattrs -f "$3" -C "$2"'
            _run(["unshare", "-m", "sh", "-ec", f"{unpack} && umount $2",
                  "sh", str(made), str(work / "mnt"), str(tree)])  # fmt: skip
            made.rename(target)
    return target


def server_image() -> pathlib.Path:
    """Return the folder with the stand-in's `metadata.tar` and `rootfs.tar`; build if missing.

    An image stack makes the same from this recipe; this one exists when the sandbox starts, and
    accepts the key of this machine's sandboxes.
    """
    read = recipes.read(SERVER_RECIPE)
    target = _kept("standin", "", [read.digest, _STEPS, authorized_key()])
    if not target.exists():
        spec = ImageSpec(
            host="local:", owner="sandbox", name=SERVER_RECIPE, suite=read.base.suite,
            packages=read.base.packages,
        )  # fmt: skip
        metadata, rootfs = bootstrap.files(spec)
        with _workspace(target) as work:
            image, tree, script = work / "image", work / "tree", work / "steps"
            image.mkdir()
            tree.mkdir()
            script.write_text("\n".join(f"(\n{step.script}\n)" for step in read.steps))
            (work / "key").write_text(authorized_key())
            _run(["sh", "-eu", "-c", _STEPS, "sh", rootfs, str(tree), str(script),
                  str(work / "key"), str(image / "rootfs.tar")])  # fmt: skip
            shutil.copy(metadata, image / "metadata.tar")
            image.rename(target)
    return target


def authorized_key() -> str:
    """Return the public key of this machine's sandboxes; make the pair if missing."""
    private = private_key()
    if not private.exists():
        private.parent.mkdir(parents=True, exist_ok=True)
        _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "grappe-sandbox",
              "-f", str(private)])  # fmt: skip
    return private.with_suffix(".pub").read_text()


def _kept(kind: str, suffix: str, ingredients: list[str]) -> pathlib.Path:
    digest = hashlib.sha256("\0".join(ingredients).encode()).hexdigest()[:16]
    folder = names.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{kind}-{digest}{suffix}"


@contextlib.contextmanager
def _workspace(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a temporary folder beside the target, so that the last step is one rename."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        yield pathlib.Path(folder)


def _run(argv: list[str]) -> None:
    failed = f"`{argv[0]}` failed while building an image"
    command.execute(argv, timeout=900).demand(failed)
