"""Collection: removing what no task and no running process needs."""

from typing import NamedTuple

from pretune.registry.pins import pinned
from pretune.registry.store import Registry


class Collected(NamedTuple):
    """Digests of what was removed, and how many leftovers of interrupted writers."""

    versions: tuple[str, ...]
    adapters: tuple[str, ...]
    leftovers: int


def collect(registry: Registry) -> Collected:
    """Remove versions that no task keeps (see :attr:`TaskState.kept`) and no process has pinned,
    then adapters that no version names, and evidence that no task's history names.

    Raises:
        StorageError: a task, a kept version or a pin cannot be read: nothing is removed, as it is
            not known what is needed.
    """
    files = registry.files
    with registry.locked():
        kept, evidence = set(pinned(files.pins)), set[str]()
        for state in map(files.read_state, files.task_names()):
            kept |= state.kept
            evidence |= state.evidence
        here = set(files.version_names())
        adapters = {files.read_version(digest).adapter for digest in kept & here}
        versions = tuple(sorted(here - kept))
        for digest in versions:
            files.remove(files.version_file(digest))
        unnamed = tuple(name for name in files.adapter_names() if name not in adapters)
        for name in unnamed:
            files.remove(files.adapter_folder(name))
        for name in set(files.evidence_names()) - evidence:
            for path in files.evidence_files(name):
                if path.exists():
                    files.remove(path)
        leftovers = [files.discard(path) for path in files.leftovers()]
    return Collected(versions, unnamed, len(leftovers))
