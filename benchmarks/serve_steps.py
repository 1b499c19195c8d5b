"""The process of one method, started by `workers.py`: serve_steps.py METHOD TASKS ENCODER THREADS."""

from __future__ import annotations

import sys

import torch

from training_steps import training_step
from workers import serve

if __name__ == "__main__":
    method, tasks, encoder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    serve(*training_step(method, int(tasks), encoder))
