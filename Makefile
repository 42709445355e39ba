# Every target sets up .venv by itself; all that is needed beforehand is Python 3.11 or later, with venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
FUZZ_SECONDS ?= 30
FUZZ_SEED ?= 0
FUZZ_RUNS ?= -1
TESTS ?=
WHAT ?= all
BASE ?=
BENCH ?=
SEED := $(or $(SEED),$(shell od -An -N3 -tu4 /dev/urandom | tr -d ' '))
# As many tests at once as there are processors; a worker that is done takes over what another has left.
PYTEST := $(BIN)/python -m pytest -q --numprocesses logical --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-cse test test-fast test-random test-cost test-fresh coverage lint format bench profile fuzz docs clean

help:  ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# A stamp newer than pyproject.toml says that what it asks for is installed; pip tells what it is doing.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --editable

.venv/installed: pyproject.toml
	@echo 'Setting up .venv with the package and what it needs, 120 MB: a minute, this once.'
	$(PYTHON) -m venv .venv
	$(INSTALL) '.[server]'
	@touch $@

.venv/installed-for-development: .venv/installed
	@echo 'Adding what the tests need to .venv, 500 MB: some minutes, this once.'
	$(INSTALL) '.[dev]'
	@touch $@

.venv/installed-for-fuzzing: .venv/installed-for-development
	$(INSTALL) '.[fuzz]'
	@touch $@

setup: .venv/installed-for-development  ## Make .venv with everything in it

demo: .venv/installed  ## Watch the main job: real servers, a device, an association
	$(BIN)/m2msec demo

.venv/installed-for-the-cse: .venv/installed
	@echo 'Adding the ACME CSE to .venv, 60 MB: half a minute, this once.'
	$(BIN)/python -m pip install --disable-pip-version-check 'acmecse>=2026.5'
	@touch $@

demo-cse: .venv/installed-for-the-cse  ## Watch an unchanged CSE and a curl AE being secured; needs curl
	$(BIN)/m2msec demo --framework cse

test: .venv/installed-for-development  ## Run all tests (TESTS=tests/unit/test_keys.py for some)
	$(PYTEST) $(TESTS)

test-fast: .venv/installed-for-development  ## Run the tests of the rooms while you type: no network, under a minute
	$(PYTEST) -m 'not long' tests/unit

test-random: .venv/installed-for-development  ## Run the tests that draw at random on fresh values (SEED=1 for known ones)
	@echo 'Drawing from SEED=$(SEED)'
	@TEST_SEED=$(SEED) PYTEST_ADDOPTS='--hypothesis-seed=$(SEED)' $(PYTEST) -m 'hypothesis or random' $(TESTS) || \
		{ echo "To repeat it: make test-random SEED=$(SEED) TESTS='$(TESTS)'"; exit 1; }

test-cost: .venv/installed-for-development  ## Run all tests and tell the processor time of the dearest files
	PYTHONPATH=tests/support $(PYTEST) -p cost $(TESTS)

coverage: .venv/installed-for-development  ## Measure which branches the tests of the rooms take; there is a floor
	$(PYTEST) -m 'not long' --cov --cov-report=term:skip-covered --cov-fail-under=58 tests/unit

test-fresh:  ## Try both commands on a new minimal Debian, as root and as a user; needs root and debootstrap
	tests/support/fresh.sh

lint: .venv/installed-for-development  ## Check style, form and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini

format: .venv/installed-for-development  ## Bring the code into form
	$(BIN)/ruff format

bench: .venv/installed-for-development  ## Measure against others on this machine (WHAT=maf BASE=commit): minutes
	$(BIN)/python -m benchmarks $(WHAT) $(if $(BASE),--base $(BASE)) $(BENCH)

profile: .venv/installed-for-development  ## Where a server's time goes under load (WHAT=maf, certificates or dtls)
	$(BIN)/python -m benchmarks profile $(if $(filter all,$(WHAT)),maf,$(WHAT))

fuzz: .venv/installed-for-fuzzing  ## Fuzz every parser, guided by coverage, FUZZ_SECONDS each
	$(BIN)/python tests/fuzz/run.py --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --runs $(FUZZ_RUNS)

docs: .venv/installed-for-development  ## Build the manual into site/
	$(BIN)/mkdocs build --strict

clean:  ## Remove everything that was made
	rm -rf .coverage .venv build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
