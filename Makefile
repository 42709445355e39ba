# Every target sets up .venv by itself; all that is needed beforehand is Python 3.11 or later, with venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
FUZZ_SECONDS ?= 30
TESTS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench fuzz docs clean

help:  ## Show what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

# A stamp newer than pyproject.toml says that what it asks for is installed.
.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

.venv/installed-for-fuzzing: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	touch $@

setup: .venv/installed  ## Make .venv with everything in it

demo: .venv/installed  ## Watch the main job: real servers, a device, an association
	$(BIN)/m2msec demo

test: .venv/installed  ## Run all tests (TESTS=tests/test_keys.py for some)
	$(BIN)/python -m pytest -q $(TESTS)

lint: .venv/installed  ## Check style, form and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/installed  ## Bring the code into form
	$(BIN)/ruff format

bench: .venv/installed  ## Measure against openssl s_server on this machine; takes minutes
	$(BIN)/python -m benchmarks
	for bench in benchmarks/bench_*.py; do $(BIN)/python -m benchmarks.$$(basename $$bench .py) || exit 1; done

fuzz: .venv/installed-for-fuzzing  ## Fuzz every parser, guided by coverage, FUZZ_SECONDS each
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS)

docs: .venv/installed  ## Build the manual into site/
	$(BIN)/mkdocs build --strict

clean:  ## Remove everything that was made
	rm -rf .venv build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
