"""The processes of one training, as ``accelerate launch`` or ``torchrun`` starts them."""

import torch
from accelerate import PartialState


def is_main(device: torch.device) -> bool:
    """Whether this process is the one that locks, writes and tells; alone, it is."""
    return bool(PartialState(cpu=device.type == "cpu").is_main_process)
