"""The spec of an image, and its sources."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import tarfile
from collections.abc import Mapping

import yaml

from core import codec, problems, validators

PROTOCOLS = ("simplestreams", "lxd")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSpec(codec.Spec):
    """An image: from files of this machine, from a remote, or bootstrapped on this machine.

    Attributes:
        name: The alias that points to it.
        metadata: From files: the path of `metadata.tar`, from the project's folder.
        rootfs: From files: the path of the root file system, a tar or squashfs file.
        server: From a remote: its URL; LXD itself fetches the image.
        remote_alias: From a remote: the image's alias over there.
        protocol: From a remote: `simplestreams` or `lxd`.
        suite: Bootstrapped: Debian's suite, made by mmdebstrap on this machine.
        packages: Bootstrapped: the packages beside Debian's important ones.
        mirror: Bootstrapped: Debian's mirror; empty for this machine's own sources.
        digest: The hash of its sources; filled in if left out.
        properties: Its properties in `lxc image show`.
    """

    metadata: str = ""
    rootfs: str = ""
    server: str = ""
    remote_alias: str = ""
    protocol: str = "simplestreams"
    suite: str = ""
    packages: tuple[str, ...] = ()
    mirror: str = ""
    digest: str = ""
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def _checks(self) -> problems.Checks:
        yield "name", self.name, validators.problem_of_alias(self.name)
        origins = [key for key in ("metadata", "server", "suite") if getattr(self, key)]
        if len(origins) != 1:
            shown = " and ".join(origins) or "none of them is given"
            reason = f"{shown}: an image is from metadata and rootfs, from a server, or of a suite."
            yield "metadata", problems.UNSHOWN, reason
        for key in ("metadata", "rootfs") if self.metadata else ():
            path = getattr(self, key)
            if not pathlib.Path(path).is_file():
                yield key, path, "is not a file."
            elif key == "metadata" and not _has_properties(path):
                yield key, path, "has no metadata.yaml with `properties:` in it."
        if not self.server:
            return
        if not self.server.startswith(("https://", "http://")):
            yield "server", self.server, "is not a URL."
        if self.protocol not in PROTOCOLS:
            yield "protocol", self.protocol, f"is not one of {', '.join(PROTOCOLS)}."
        if not self.remote_alias:
            yield "remote_alias", problems.UNSHOWN, "is missing: which image? debian/12"


def _has_properties(path: str) -> bool:
    """Whether an image's metadata names properties; LXD 5.0 crashes without them."""
    try:
        with tarfile.open(path) as tar:
            member = tar.extractfile("metadata.yaml")
            content = yaml.safe_load(member.read()) if member else None
    except (tarfile.TarError, KeyError, yaml.YAMLError):
        return False
    return isinstance(content, dict) and bool(content.get("properties"))


def digest(spec: ImageSpec) -> str:
    """Return the hash of an image's sources; for files, LXD's fingerprint."""
    if spec.metadata:
        return fingerprint(spec.metadata, spec.rootfs)
    names = ("server", "remote_alias", "protocol", "suite", "packages", "mirror")
    parts = {name: codec.encode(getattr(spec, name)) for name in names}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def fingerprint(metadata: str, rootfs: str) -> str:
    """Return LXD's fingerprint of an image: the SHA-256 of its files in a row."""
    digest = hashlib.sha256()
    for path in (metadata, rootfs):
        with pathlib.Path(path).open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def metadata_yaml(spec: ImageSpec, created: int) -> str:
    """Return the metadata of a bootstrapped image."""
    return yaml.safe_dump(
        {
            "architecture": os.uname().machine,
            "creation_date": created,
            "properties": {
                "os": "debian",
                "release": spec.suite,
                "description": f"Debian {spec.suite}, bootstrapped by Grappe",
            },
        }
    )
