"""One thread a test process: the tests run side by side."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("counterpoint", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("counterpoint")
