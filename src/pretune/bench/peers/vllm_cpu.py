"""vLLM on a CPU, plain or with its multi-LoRA; run by the interpreter of its own environment.

Settings: ``base`` (a folder), ``adapters`` (folders in PEFT's format; none: LoRA is off), ``rank``,
``requests``, ``tokens`` (of prompt and answer), ``step_tokens``. A line: ``prompts`` (token ids),
``tasks`` (of each prompt: the index of its adapter, or null), ``new``.
"""

import os
import time
from typing import Any

from answering import Answer, answer_lines, times_of  # type: ignore[import-not-found]

os.environ.update(
    VLLM_CPU_KVCACHE_SPACE="4",
    VLLM_CPU_NUM_OF_RESERVED_CPU="0",
    VLLM_ENABLE_V1_MULTIPROCESSING="0",
    VLLM_NO_USAGE_STATS="1",
    HF_HUB_OFFLINE="1",
)


def start(settings: dict[str, Any]) -> Answer:
    """Load the base, and say how a line is answered."""
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    folders = settings["adapters"]
    lora = {
        "enable_lora": True,
        "max_loras": len(folders),
        "max_cpu_loras": len(folders),
        "max_lora_rank": max(8, settings["rank"]),
    }
    llm = LLM(
        model=settings["base"],
        skip_tokenizer_init=True,
        dtype="bfloat16",
        enforce_eager=True,
        enable_prefix_caching=False,
        max_model_len=settings["tokens"],
        max_num_seqs=settings["requests"],
        max_num_batched_tokens=settings["step_tokens"],
        disable_log_stats=True,
        **(lora if folders else {}),
    )
    engine = llm.llm_engine
    adapters = [LoRARequest(f"task-{i}", i + 1, folder) for i, folder in enumerate(folders)]

    def answer(line: dict[str, Any]) -> dict[str, Any]:
        sampling = SamplingParams(
            temperature=0, max_tokens=line["new"], ignore_eos=True, detokenize=False
        )
        waiting = set()
        firsts = [-1] * len(line["prompts"])
        for number, (ids, task) in enumerate(zip(line["prompts"], line["tasks"], strict=True)):
            adapter = None if task is None else adapters[task]
            engine.add_request(
                str(number), {"prompt_token_ids": ids}, sampling, lora_request=adapter
            )
            waiting.add(str(number))
        began, prefill, steps = time.perf_counter(), 0.0, []
        while engine.has_unfinished_requests():
            step = time.perf_counter()
            outputs = engine.step()
            now = time.perf_counter()
            if waiting:
                for one in outputs:
                    name = one.request_id.split("-")[0]
                    if name in waiting:
                        waiting.remove(name)
                        firsts[int(name)] = one.outputs[0].token_ids[0]
                prefill = now - began
            elif len(outputs) == len(line["prompts"]):
                steps.append(now - step)
        return dict(times_of(prefill, steps, firsts))

    return answer


if __name__ == "__main__":
    answer_lines(start)
