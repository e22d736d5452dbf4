"""How much memory there is to take here."""

from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
_LIMIT, _USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def room_on(device: torch.device) -> int | None:
    """Bytes that are free on ``device``: of a processor what the system can give, and no more than
    the container's limit leaves; ``None`` where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    found = [size for size in (_available(), _left_in_container()) if size is not None]
    return min(found, default=None)


def _available() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
        return next(int(li.split()[1]) * 1024 for li in lines if li.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def _left_in_container() -> int | None:
    try:
        return int(_LIMIT.read_text()) - int(_USED.read_text())
    except (OSError, ValueError):  # no container, or "max"
        return None
