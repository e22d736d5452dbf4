"""What holds for every test, and in the processes that it starts.

Tables are as wide as on a wide screen. No example is too slow: machines differ; there are sixty of
each property, other ones every time. Workers share a machine's cores: one thread each.
"""

import os

import torch
from hypothesis import settings

os.environ["COLUMNS"] = "200"
settings.register_profile("any-machine", settings.default, deadline=None, max_examples=60)
settings.load_profile("any-machine")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
