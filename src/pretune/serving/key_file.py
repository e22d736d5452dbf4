"""Files of API keys: a hash a line, and the keys themselves nowhere."""

import secrets
from pathlib import Path

from pretune.core.errors import SpecError
from pretune.core.files import write_atomic
from pretune.serving.keys import Keys, hashed


def read_keys(path: Path | None) -> Keys:
    """The hashes in a key file, one a line.

    Raises:
        SpecError: no such file, no hash in it, or a line that is none.
    """
    if path is None:
        return Keys()
    hashes = _hashes(path)
    if not hashes:
        raise SpecError(f'"{path}" holds no key; add one with: pretune serve --new-key "{path}"')
    return Keys(hashes)


def new_key(path: Path) -> str:
    """Make a key, add its hash to ``path``, and return the key, which is kept nowhere.

    Raises:
        SpecError: the file is there and holds something else than hashes.
    """
    key = secrets.token_urlsafe(32)
    before = _hashes(path) if path.exists() else []
    write_atomic(path, "".join(f"{line}\n" for line in (*before, hashed(key))))
    return key


def _hashes(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f'cannot read keys from "{path}": {error}') from error
    if any(len(line) != 64 or set(line) - set("0123456789abcdef") for line in lines):
        raise SpecError(f'"{path}" holds a line that is no hash of a key; keys are kept as hashes')
    return lines
