"""The measures, one file each, in the order they are run."""

from functools import partial
from pathlib import Path

from pretune.bench.measures import (
    cold,
    document,
    http,
    peft,
    registered,
    roofline,
    scopes,
    tasks,
    transformers,
    vllm,
)
from pretune.bench.measures.measure import Measure
from pretune.core.errors import SpecError

__all__ = ["Measure", "measures"]


def measures(vllm_python: Path | None = None) -> dict[str, Measure]:
    """All of them by name; ``vllm_python`` is the interpreter of an environment with vLLM.

    Raises:
        SpecError: there is no such interpreter.
    """
    if vllm_python is not None and not vllm_python.is_file():
        raise SpecError(
            f'"{vllm_python}" is no file; name the interpreter of an environment with vLLM'
        )
    return {
        "tasks": Measure(
            (
                "decode_ratio_32_tasks",
                "step_vs_floor",
                "prefill_ratio_32_tasks",
                "adapter_bytes_in_decode",
            ),
            240,
            tasks.measure,
        ),
        "registered": Measure(("decode_ratio_1000_tasks",), 330, registered.measure),
        "document": Measure(("document_ttft_gain",), 200, document.measure),
        "http": Measure(("http_overhead",), 240, http.measure),
        "cold": Measure(("cold_p99_ttft_ratio",), 420, cold.measure),
        "scopes": Measure((), 300, scopes.measure),
        "roofline": Measure((), 60, roofline.measure),
        "peft": Measure(("speedup_vs_peft_32",), 260, peft.measure),
        "transformers": Measure((transformers.FIGURE,), 120, transformers.measure),
        "vllm": Measure(
            ("speedup_vs_vllm_lora_32", "base_vs_vllm"),
            280,
            partial(vllm.measure, python=vllm_python),
        ),
    }
