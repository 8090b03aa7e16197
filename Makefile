# Two commands for a fresh Debian 12 or Ubuntu 24.04 machine, as root: `make demo` and `make test`.
# Both install what is missing, then do their work; the second run starts in seconds.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
SECONDS_EACH ?= 300

NATIVE := $(wildcard blockd/native/*.c blockd/native/*.h)

.PHONY: demo test lint bench fuzz lock clean help

help:
	@echo "make demo [ARGS=--once]   everything on loopback, with example lists that it signs itself"
	@echo "make test                 the whole test suite"
	@echo "make lint                 ruff, mypy, import contracts"
	@echo "make bench                figures against the peers, on this machine"
	@echo "make fuzz                 each fuzz target, and the UDP worker under the sanitizers, for $(SECONDS_EACH) s"

# System packages: the script asks apt only for what is not there.
$(VENV)/.packages-run: deploy/packages/run.txt
	@deploy/packages/install.sh $<
	@mkdir -p $(VENV) && touch $@

$(VENV)/.packages-test: deploy/packages/test.txt
	@deploy/packages/install.sh $<
	@mkdir -p $(VENV) && touch $@

$(VENV)/.packages-bench: deploy/packages/bench.txt
	@deploy/packages/install.sh --only-programs $<
	@mkdir -p $(VENV) && touch $@

$(BIN)/pip: | $(VENV)/.packages-run
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "blockd needs Python 3.11 or newer: make PYTHON=python3.12, or the like" >&2; exit 1; }
	@echo "== Python environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt | $(BIN)/pip
	@echo "== Python packages (locked): requirements/run.txt"
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements/run.txt
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run | $(VENV)/.packages-test
	@echo "== Python packages for the tests (locked): requirements/dev.txt"
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.built: $(VENV)/.run $(NATIVE) setup.py pyproject.toml
	@echo "== blockd and its C core"
	@$(BIN)/pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.built
	@$(BIN)/blockd demo $(ARGS)

# The XDP program needs clang, which nothing else does.
$(VENV)/.xdp: $(NATIVE) $(VENV)/.built $(VENV)/.dev
	@$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

test: $(VENV)/.built $(VENV)/.dev $(VENV)/.xdp
	@echo "== tests"
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.built $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.built $(VENV)/.dev $(VENV)/.xdp $(VENV)/.packages-bench
	@$(BIN)/python bench/run.py $(ARGS)

fuzz: $(VENV)/.built $(VENV)/.dev
	@for target in tests/fuzz/fuzz_*.py; do $(BIN)/python $$target --seconds $(SECONDS_EACH) || exit 1; done
	@$(BIN)/python -m tests.native.worker_driver --seconds $(SECONDS_EACH)

# New versions: resolves the ranges of pyproject.toml again, with hashes. Needs uv (pip install uv).
lock:
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 pyproject.toml requirements/build.in -o requirements/run.txt
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra dev -c requirements/run.txt pyproject.toml requirements/build.in -o requirements/dev.txt

clean:
	rm -rf $(VENV) build dist *.egg-info blockd/native/*.so
