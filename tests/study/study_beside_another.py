"""A study that says which runs it trained itself: python study_beside_another.py FOLDER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from study_data import FAST, TARGETS, table

from counterpoint import Study
from counterpoint.study.runs import train

if __name__ in {"__main__", "a program"}:
    fit = train.fit

    def said(module, splits, settings, folder, *arguments, **options):
        sys.stdout.write(f"{folder.parent.name}\n")
        return fit(module, splits, settings, folder, *arguments, **options)

    train.fit = said
    Study(table(), TARGETS, out=sys.argv[1], **FAST | {"seeds": 1}).run()
