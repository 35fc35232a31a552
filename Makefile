# The verbs of this repository: the same for people and for CI. `make help` lists them.
# From a clean clone they need Python 3.11 or newer, make, gcc and g++; everything else goes
# into .venv. PyTorch is installed first and alone, so that nothing pulls a second build.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(shell \
	command -v $(p) >/dev/null 2>&1 && \
	$(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
TORCH := $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
SOURCE := $(wildcard penstock control_plane agents scheduler workloads deploy tests)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
ARGS ?=
# Servers, agents and workers start by the hundred here: each would compile all source again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1  \2/p' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.run ## start a cloud, train one job over two chip types, serve it; KEEP=1 leaves it up
	@$(BIN)/python deploy/demo/run.py $(if $(KEEP),--keep) $(ARGS)

.PHONY: dev
dev: $(VENV)/.run ## the whole platform in the foreground, on emulated chips
	@$(BIN)/penstock up --foreground $(ARGS)

.PHONY: check check-format check-lint check-types check-imports check-architecture
check: check-format check-lint check-types check-imports check-architecture ## format, lint, types, import contracts, architecture tests
check-format: $(VENV)/.dev
	@$(BIN)/ruff format --check $(SOURCE)
check-lint: $(VENV)/.dev
	@$(BIN)/ruff check $(SOURCE)
check-types: $(VENV)/.dev
	@$(BIN)/mypy $(SOURCE)
check-imports: $(VENV)/.dev
	@$(BIN)/lint-imports
check-architecture: $(VENV)/.dev
	@$(BIN)/python -m pytest -q --tb=short tests/test_architecture.py

.PHONY: format
format: $(VENV)/.dev ## rewrite the source the way `check` wants it
	$(BIN)/ruff check --fix --exit-zero $(SOURCE)
	$(BIN)/ruff format $(SOURCE)

# Tests wait more than they compute. A file stays on one worker: its tests may share a cloud.
WORKERS ?= 2
.PHONY: test
test: $(VENV)/.dev ## every test, the unit tier first; ARGS="-k word" picks some, WORKERS=0 runs one by one
	@$(BIN)/python -m pytest tests -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: test-unit
test-unit: $(VENV)/.dev ## the unit tier: no sockets, no sleeps, under ten seconds
	@$(BIN)/python -m pytest -q tests/unit $(ARGS)

.PHONY: test-safety
test-safety: $(VENV)/.dev ## the longer tier of the safety tests, which `test` leaves out
	@$(BIN)/python -m pytest tests -m slow_safety $(ARGS)

SEEDS ?= 1-4
FAULTS ?= 200
.PHONY: storm
storm: $(VENV)/.dev ## random faults against real processes, audited: SEEDS=1-4 FAULTS=200 [KINDS=..] [DATABASES=..] [HOLE=name]
	@$(BIN)/python -m tests.storm --seeds $(SEEDS) --faults $(FAULTS) $(if $(KINDS),--kinds $(KINDS)) \
		$(if $(DATABASES),--databases $(DATABASES)) $(if $(HOLE),--hole $(HOLE)) $(ARGS)

.PHONY: sim
sim: $(VENV)/.dev ## traces and failures in virtual time
	@$(BIN)/python -m pytest tests/simulation $(ARGS)

BENCHES = $(sort $(subst _,-,$(notdir $(basename $(filter-out %/__init__.py %/conftest.py \
	%/test_%.py,$(shell grep -l '__main__' tests/bench/*.py 2>/dev/null))))))
.PHONY: bench
bench: $(VENV)/.dev ## measure: BENCH=name [TRACES=folder] [ARGS=...]
	@test -n "$(BENCH)" || { echo "Say which: make bench BENCH=name. There are: $(BENCHES)" >&2; exit 2; }
	@$(BIN)/python -m tests.bench.$(subst -,_,$(BENCH)) $(if $(TRACES),--traces $(TRACES)) $(ARGS)

.PHONY: install
install: $(VENV)/.run ## only install what a run needs into .venv

.PHONY: clean
clean: ## remove caches and build output
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(SOURCE) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## remove .venv too
	rm -rf $(VENV)

# Installed once; the stamps make every later call instant. A change of pyproject.toml or of
# constraints.txt installs again.
$(VENV)/.torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (set PYTHON=path)." >&2; exit 1; }
	@echo "Installing into $(VENV), once: PyTorch first, some minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(TORCH)
	@touch $@

$(VENV)/.run: $(VENV)/.torch pyproject.toml
	@$(PIP) -e '.[server,agent,workload]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) -e '.[server,agent,workload,dev]'
	@touch $@
