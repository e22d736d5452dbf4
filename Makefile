# Every target sets itself up: the only thing needed before is Python 3.11 or later.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DATA   ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help demo test lint check cases docs clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: $(READY) ## Tune six finance tasks on the embedded base, measure, answer in one batch
	$(BIN)/pretune demo

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

lint: $(READY) ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: $(READY) ## What CI runs: types are told while the tests run
	$(MAKE) --no-print-directory -j2 lint test

cases: $(READY) ## Walk the two cases from goal to promoted version; DATA names the data sets
	$(BIN)/python cases/run.py --data $(DATA)

docs: $(READY) ## Write the generated pages of docs/
	$(BIN)/python tools/docs.py

clean: ## Remove the environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis

# torch first and pinned: a looser requirement could bring gigabytes of CUDA packages.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
