"""Workers that share a machine share its cores: one thread each, and in what they start."""

import os

import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
