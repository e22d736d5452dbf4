"""What holds for every test, and in the processes that it starts.

Tables are as wide as on a wide screen. Workers share a machine's cores: one thread each.
"""

import os

import torch

os.environ["COLUMNS"] = "200"
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
