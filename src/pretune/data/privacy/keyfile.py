"""The local key file: what it holds, how it is made, and the keys that follow from it."""

import base64
import hmac
import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pretune.core.errors import DataError, SpecError
from pretune.core.files import storage_error
from pretune.core.names import near_files
from pretune.core.origin import Origin

_HEAD = "pretune-key-1 "
_BYTES = 32


class Key:
    """The keys of one key file: one names values, one seals them, one renames rows.

    They follow from the file's 256 random bits by HKDF-SHA-256 (RFC 5869), so none tells another.
    """

    def __init__(self, master: bytes) -> None:
        def derived(purpose: str, length: int) -> bytes:
            info = f"pretune privacy 1: {purpose}".encode()
            return HKDF(hashes.SHA256(), length, None, info).derive(master)

        self.naming = derived("naming", 32)
        self._sealing = AESSIV(derived("sealing", 64))
        self._digests = derived("digests", 32)
        self.id = derived("id", 6).hex()
        """What the lineage calls the key; it opens nothing."""

    def seal(self, data: bytes, about: bytes) -> bytes:
        """``data`` encrypted and bound to ``about`` (AES-256-SIV, RFC 5297): equal to equal."""
        return self._sealing.encrypt(data, [about])

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """What :meth:`seal` was given.

        Raises:
            cryptography.exceptions.InvalidTag: another key, another ``about``, or damage.
        """
        return self._sealing.decrypt(sealed, [about])

    def digest(self, plain: str) -> str:
        """A digest of private content as only the key's holder can compute it; 16 hex digits.

        A plain digest of a row would let anybody try phone numbers until one fits.
        """
        return hmac.digest(self._digests, plain.encode(), "sha256").hex()[:16]

    def renamed(self, origin: Origin) -> Origin:
        """``origin`` with ids that say nothing about the content, and agree where they agreed."""
        parent = None if origin.parent is None else self.digest(origin.parent)
        return Origin(
            self.digest(origin.id),
            origin.kind,
            parent,
            self.digest(origin.root),
            origin.recipe,
            origin.step,
        )


def make_key(path: Path) -> Key:
    """A new key in the new file ``path``, which its owner alone can read.

    Raises:
        SpecError: the file exists. StorageError: it cannot be written.
    """
    text = _HEAD + base64.b64encode(secrets.token_bytes(_BYTES)).decode() + "\n"
    if path.exists():
        raise SpecError(f'key file "{path}" exists and is never replaced; name another')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise storage_error("write", path, error) from error
    return load_key(path)


def load_key(path: Path) -> Key:
    """The key in the file ``path``.

    Raises:
        DataError: no such file, one that others can read, or one that is no key file.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()[:1000].decode("ascii", "replace")
    except FileNotFoundError as error:
        raise DataError(f'no key file "{path}";{near_files(path)}') from error
    except OSError as error:
        raise DataError(f'cannot read key file "{path}": {error.strerror}') from error
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise DataError(
            f'others may read key file "{path}" (mode {stat.S_IMODE(mode):o}); '
            "make it yours alone: chmod 600"
        )
    try:
        master = base64.b64decode(text.removeprefix(_HEAD).strip(), validate=True)
    except ValueError:  # not base 64, or not even ASCII
        master = b""
    if not text.startswith(_HEAD) or len(master) != _BYTES:
        raise DataError(f'"{path}" is no key file, or a damaged one; restore it from a copy')
    return Key(master)
