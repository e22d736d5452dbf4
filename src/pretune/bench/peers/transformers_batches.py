"""transformers' continuous batching: ``generate_batch`` of the plain base.

Settings: ``base`` (a folder), ``threads``, ``device``, ``requests``, ``tokens`` (of prompt and
answer), ``step_tokens``. A line: ``prompts`` (token ids), ``new``.
"""

import time
from itertools import pairwise
from typing import Any

from answering import Answer, answer_lines, times_of  # type: ignore[import-not-found]


def start(settings: dict[str, Any]) -> Answer:
    """Load the base, and say how a line is answered."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        ContinuousBatchingConfig,
        GenerationConfig,
    )

    torch.set_num_threads(settings["threads"])
    loaded = AutoModelForCausalLM.from_pretrained(
        settings["base"], dtype=torch.bfloat16, attn_implementation="sdpa"
    )
    model = loaded.to(settings["device"]).eval()
    # Room for the work: left to itself it takes nearly all memory that is free, on a CPU as well.
    # Flash attention would be asked of the network.
    pages = -(-settings["tokens"] // ContinuousBatchingConfig.page_size) + 1
    how = ContinuousBatchingConfig(
        num_blocks=settings["requests"] * pages,
        max_batch_tokens=settings["step_tokens"],
        auto_switch_to_flash=False,
    )
    sized: list[tuple[int, int]] = []

    def generate(line: dict[str, Any]) -> list[Any]:
        config = GenerationConfig(
            max_new_tokens=line["new"], do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        done = model.generate_batch(
            line["prompts"],
            generation_config=config,
            continuous_batching_config=how,
            record_timestamps=True,
            persistent_manager=True,
        )
        return list(done.values())

    def answer(line: dict[str, Any]) -> dict[str, Any]:
        size = (len(line["prompts"][0]), line["new"])
        if sized != [size]:  # a manager is made for a size, and its making is not its work
            model.destroy_cached_continuous_batching_manager()
            generate(line)
            sized[:] = [size]
        began = time.perf_counter()
        done = generate(line)
        last = [max(at) for at in zip(*(one.timestamps for one in done), strict=True)]
        gaps = [after - before for before, after in pairwise([began, *last])]
        return dict(times_of(gaps[0], gaps[1:], [one.generated_tokens[0] for one in done]))

    return answer


if __name__ == "__main__":
    answer_lines(start)
