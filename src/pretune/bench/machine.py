"""What a run is told to have run on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import pretune


def describe() -> dict[str, Any]:
    """Cores, processor, memory, accelerator, threads and versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "memory_gb": round(memory / 1e9, 1),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "pretune": pretune.__version__,
        **{name: _version(name) for name in ("torch", "transformers", "peft")},
    }


def _processor() -> str:
    """The model as the system names it, with what matters of its instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    known = set(named.get("flags", "").split())
    wanted = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in known]
    model = named.get("model name", platform.machine())
    family = f"family {named.get('cpu family', '?')} model {named.get('model', '?')}"
    return f"{model} ({family}; {', '.join(wanted)})"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
