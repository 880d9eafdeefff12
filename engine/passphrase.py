"""The engine's encryption of secrets by a passphrase, in stack files and states."""

from __future__ import annotations

import base64
import functools
import os
import pathlib
from typing import Self

from core import errors

VERSION = "v1:"
# The text that the engine encrypts to verify a passphrase, and the size of a salt.
TEST = "pulumi"
SALT_BYTES = 8
ITERATIONS = 1_000_000
KEY_BYTES = 32
# The sizes of AES-GCM's nonce and tag, which are the usual ones.
NONCE_BYTES, TAG_BYTES = 12, 16


class Passphrase:
    """Encrypts and decrypts the secrets of one stack.

    The format is the engine's own (`NewSymmetricCrypterFromPassphrase` in its SDK): AES-256-GCM
    with a key by PBKDF2 of SHA-256; a text is `v1:NONCE:CIPHERTEXT`, both in base64.

    Args:
        salt: The `encryptionsalt` of the stack file: `v1:SALT:` and a text to test the passphrase.

    Attributes:
        salt: The same.
    """

    def __init__(self, salt: str) -> None:
        self.salt = salt

    @classmethod
    def create(cls) -> Self:
        """Return the passphrase of a new stack file, with a salt of its own."""
        made = cls(f"{VERSION}{_text(os.urandom(SALT_BYTES))}:")
        made.salt += made.encrypt(TEST)
        return made

    def encrypt(self, text: str) -> str:
        """Return a secret as the stack file holds it."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - as below

        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self._key).encrypt(nonce, text.encode(), None)
        return f"{VERSION}{_text(nonce)}:{_text(sealed)}"

    def decrypt(self, text: str) -> str:
        """Return a secret in plain.

        Raises:
            errors.GrappeError: It was encrypted with another passphrase, or in another format.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - few runs have secrets
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        try:
            nonce, sealed = text.removeprefix(VERSION).split(":")
            cipher = AESGCM(self._key)
            return cipher.decrypt(_bytes(nonce), _bytes(sealed), None).decode()
        except (ValueError, InvalidTag) as error:
            raise errors.GrappeError(
                "a secret cannot be decrypted: the passphrase is another one",
                seen=_source(),
                do="set the passphrase that the lab was made with; if it is lost, remove each "
                "`secure:` and the line encryptionsalt from the stack file, and set them again: "
                "pulumi config set --secret KEY -s STACK",
            ) from error

    @functools.cached_property
    def _key(self) -> bytes:
        """Derive the key; that takes some 0.2 s of processor, and twice as long by `hashlib`."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC  # noqa: PLC0415

        salt, _, _test = self.salt.removeprefix(VERSION).partition(":")
        kdf = PBKDF2HMAC(hashes.SHA256(), KEY_BYTES, _bytes(salt), ITERATIONS)
        return kdf.derive(_given())


def is_whole_salt(text: object) -> bool:
    """Whether a salt has the engine's format: the salt itself, and a text to test a passphrase."""
    if not isinstance(text, str) or not text.startswith(VERSION):
        return False
    salt, _colon, test = text.removeprefix(VERSION).partition(":")
    try:
        return len(_bytes(salt)) == SALT_BYTES and is_whole(test)
    except ValueError:
        return False


def is_whole(text: object) -> bool:
    """Whether a secret's text has the engine's format to its end: a nonce, and what GCM sealed."""
    if not isinstance(text, str):
        return False
    try:
        sizes = [len(_bytes(part)) for part in text.removeprefix(VERSION).split(":")]
    except ValueError:
        return False
    whole = len(sizes) == 2 and sizes[0] == NONCE_BYTES and sizes[1] >= TAG_BYTES  # noqa: PLR2004
    return text.startswith(VERSION) and whole


def _given() -> bytes:
    """Return the passphrase of the environment, as the engine reads it."""
    path = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    text = os.environ.get("PULUMI_CONFIG_PASSPHRASE")
    if text is None and path:
        try:
            text = pathlib.Path(path).read_text().strip()
        except (OSError, ValueError) as error:
            raise errors.BadInputError(
                f"PULUMI_CONFIG_PASSPHRASE_FILE is {path}, which cannot be read",
                seen=str(error), do="name the file with the passphrase, or unset the variable",
            ) from error  # fmt: skip
    return (text or "").encode()


def _source() -> str:
    """Return which variable has the passphrase, in words."""
    if "PULUMI_CONFIG_PASSPHRASE" in os.environ:
        return "PULUMI_CONFIG_PASSPHRASE has it"
    path = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    return f"PULUMI_CONFIG_PASSPHRASE_FILE is {path}" if path else "no passphrase is set"


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
