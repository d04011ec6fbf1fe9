# One command does everything: `make demo` shows the main job, `make test` proves it, `make check` reads the code.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help setup setup-dev demo test check bench quality test-slow test-faults test-gpu test-peers docs clean

help:
	@echo "make demo    set up, fine-tune on the bundled tickets, write a report"
	@echo "make test    set up, run the tests      make check   linters, types, layers, docs"
	@echo "make setup   .venv with .venv/bin/tunesmith (setup-dev: with test tools)"
	@echo "make test-slow | test-faults | test-gpu | test-peers   longer proofs"
	@echo "make bench    our engine against its peers         make quality  every method on real data"
	@echo "make docs     regenerate the references"

# torch by exact version: a range would pull gigabytes of CUDA from the index
$(VENV)/core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	$(PIP) -e '.[demo]'
	touch $@

$(VENV)/dev: $(VENV)/core
	$(PIP) -e '.[dev]'
	touch $@

# Ray is large: only the slow tests of searches on several processes want it
$(VENV)/ray: $(VENV)/dev
	$(PIP) -e '.[ray]'
	touch $@

setup: $(VENV)/core
setup-dev: $(VENV)/dev

demo: setup
	$(BIN)/tunesmith train examples/tickets.yaml

# a process a core, idle ones take over waiting tests; four at most, for each holds its own torch
test: setup-dev
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --dist worksteal

check: setup-dev
	$(BIN)/ruff check src tests docs bench examples
	$(BIN)/ruff format --check src tests docs bench examples
	$(BIN)/lint-imports
	$(BIN)/mypy
	for folder in bench $(wildcard bench/*/); do MYPYPATH=src:tests:bench/quality:bench/memory:$$folder $(BIN)/mypy $$folder/*.py || exit 1; done
	$(BIN)/python tests/planted.py $(BIN)/mypy
	$(BIN)/python docs/make.py --check
	$(BIN)/python bench/sizes.py

test-slow: $(VENV)/ray
	$(BIN)/python -m pytest -m slow -o addopts='-q --strict-markers'

test-faults: setup-dev
	$(BIN)/python -m pytest -m faults -o addopts='-q --strict-markers'

test-gpu: setup-dev
	$(BIN)/python -m pytest -m gpu -o addopts='-q --strict-markers'

test-peers: setup-dev
	$(BIN)/python -m pytest -m peers -o addopts='-q --strict-markers'

bench: setup-dev
	$(BIN)/python bench/speed/run.py
	$(BIN)/python bench/speed/table.py

quality: setup-dev
	for set in mwo mwo_mean mwo_shipped banking77 sst2 goemotions sts; do $(BIN)/python bench/quality/run.py $$set || exit 1; done
	$(BIN)/python bench/quality/table.py

docs: setup-dev
	$(BIN)/python docs/make.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
