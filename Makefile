# Everything runs from a virtual environment that is made on first use and remade when the dependencies change.
PYTHON ?= python3.11
ifeq ($(shell command -v $(PYTHON) 2>/dev/null),)
PYTHON := python3
endif
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

.PHONY: help demo test lint docs browser wheel format bench bench-quick clean

help:
	@echo "make demo    train the digit pairs and open runs/demo/report.html when done (about 3 minutes)"
	@echo "make test    run the test suite"
	@echo "make lint    ruff, mypy --strict, import-linter"
	@echo "make docs    build the documentation: build/docs/index.html"
	@echo "make browser open reports and documentation in chromium; screenshots in build/screenshots"
	@echo "make wheel   install the built wheel into two empty environments and use it there"
	@echo "make format  let ruff rewrite what it can"
	@echo "make bench   run the benchmarks (hours) and rewrite benchmarks/results and the tables made from it"
	@echo "make bench-quick   the smallest case of each benchmark beside the stored figures, in five minutes"
	@echo "make clean   remove .venv and caches"

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[study,dev,docs]"
	@touch $@

demo: $(INSTALLED)
	$(BIN)/counterpoint demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(CORES) --dist worksteal --cov --cov-report=term

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# -W: a warning is an error. The guides run, so this takes a few minutes the first time.
docs: $(INSTALLED)
	@rm -rf docs/api/generated  # a page of a name that is gone would be a warning
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "open build/docs/index.html"

browser: $(INSTALLED)
	@command -v chromium >/dev/null || { echo "chromium is needed: apt-get install chromium fonts-liberation"; exit 1; }
	$(BIN)/python -m pytest acceptance/browser -n $(CORES) --dist loadfile

wheel: $(INSTALLED)
	$(BIN)/python -m pytest acceptance/wheel

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# benchmarks/commands.py has the list; hours on two cores. NAME.json alone: python benchmarks/commands.py NAME
bench: $(INSTALLED)
	$(BIN)/python benchmarks/commands.py

bench-quick: $(INSTALLED)
	$(BIN)/python benchmarks/quick.py

clean:
	rm -rf docs/gallery docs/api/generated docs/_generated docs/results.md
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .import_linter_cache
