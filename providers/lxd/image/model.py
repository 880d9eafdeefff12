"""What an image from files is."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import tarfile
from collections.abc import Mapping

import yaml

from providers import rules, wire


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec(wire.Spec):
    """An image, from a metadata file and a root file system on this machine.

    Attributes:
        name: The alias that points to it.
        metadata: The path of `metadata.tar`, from the project's folder.
        rootfs: The path of the root file system, a tar or squashfs file.
        fingerprint: The SHA-256 of both files; filled in when it is left out.
        properties: What `lxc image show` says of it.
    """

    metadata: str
    rootfs: str
    fingerprint: str = ""
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def mistakes(self) -> list[wire.Mistake]:
        """Return what is wrong with the values."""
        found = []
        if problem := rules.alias(self.name):
            found.append(wire.Mistake("name", f"{wire.show(self.name)} {problem}"))
        for key in ("metadata", "rootfs"):
            path = getattr(self, key)
            if not pathlib.Path(path).is_file():
                found.append(wire.Mistake(key, f"{wire.show(path)} is not a file."))
            elif key == "metadata" and not _has_properties(path):
                reason = f"{wire.show(path)} has no metadata.yaml with `properties:` in it."
                found.append(wire.Mistake(key, reason))
        return found


def _has_properties(path: str) -> bool:
    """Whether an image's metadata names properties; LXD 5.0 crashes where it does not."""
    try:
        with tarfile.open(path) as tar:
            member = tar.extractfile("metadata.yaml")
            content = yaml.safe_load(member.read()) if member else None
    except (tarfile.TarError, KeyError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and bool(content.get("properties"))


def fingerprint(metadata: str, rootfs: str) -> str:
    """Return the fingerprint LXD gives to an image: the SHA-256 of its files in a row."""
    digest = hashlib.sha256()
    for path in (metadata, rootfs):
        with pathlib.Path(path).open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
