"""What test_ranks.py runs under torchrun: two ranks that train each run of a study together."""

import logging
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from study_data import FAST, TARGETS, table

from counterpoint import Study
from counterpoint.study.execution import RanksExecutor, ranks

if __name__ in {"__main__", "a program"}:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with ranks() as place:
        if place.leader:
            options = FAST | {"scale_trials": 0, "seeds": 1, "devices": 2}
            Study(table(), TARGETS, out="study", executor=RanksExecutor(place), **options).run()
        else:
            place.follow()
