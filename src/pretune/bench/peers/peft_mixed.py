"""PEFT's mixed batch: ``generate`` with ``adapter_names``, one batch of any adapters.

Settings: ``base`` (a folder), ``adapters`` (folders in PEFT's format), ``threads``, ``device``. A
line: ``prompts`` (token ids, of one length), ``tasks`` (of each prompt: the index of its adapter,
or null), ``new``.
"""

import time
import warnings
from itertools import pairwise
from typing import Any

from answering import Answer, answer_lines, times_of  # type: ignore[import-not-found]


def start(settings: dict[str, Any]) -> Answer:
    """Load base and adapters, and say how a line is answered."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, StoppingCriteria, StoppingCriteriaList

    warnings.simplefilter("ignore")
    torch.set_num_threads(settings["threads"])
    model = AutoModelForCausalLM.from_pretrained(settings["base"], dtype=torch.bfloat16).eval()
    # The head on a slice of the hidden states copies its weights for every row: 14 s, not 0.03.
    model.lm_head.register_forward_pre_hook(lambda _module, args: (args[0].contiguous(),))
    first, *others = settings["adapters"]
    tuned = PeftModel.from_pretrained(model, first, adapter_name="0")
    for number, folder in enumerate(others, 1):
        tuned.load_adapter(folder, adapter_name=str(number))
    device = settings["device"]
    tuned = tuned.to(device, torch.bfloat16).eval()

    class Clock(StoppingCriteria):
        """Notes when each token was there; stops nothing."""

        def __init__(self) -> None:
            self.times: list[float] = []

        def __call__(self, ids: Any, _scores: Any, **_: Any) -> Any:
            ids[:, -1].tolist()  # there, not merely asked of the device
            self.times.append(time.perf_counter())
            return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

    def answer(line: dict[str, Any]) -> dict[str, Any]:
        ids, clock = torch.tensor(line["prompts"], device=device), Clock()
        names = ["__base__" if task is None else str(task) for task in line["tasks"]]
        began = time.perf_counter()
        with torch.inference_mode():
            written = tuned.generate(  # type: ignore[no-untyped-call]
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                adapter_names=names,
                max_new_tokens=line["new"],
                min_new_tokens=line["new"],
                do_sample=False,
                pad_token_id=0,
                stopping_criteria=StoppingCriteriaList([clock]),
            )
        marks = [began, *clock.times]
        gaps = [after - before for before, after in pairwise(marks)]
        return dict(times_of(gaps[0], gaps[1:], written[:, ids.shape[1]].tolist()))

    return answer


if __name__ == "__main__":
    answer_lines(start)
