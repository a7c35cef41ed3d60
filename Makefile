# Two commands do it all on a fresh machine with Python 3.11+ and make:
#   make member   sets up and runs one member on 127.0.0.1:2379, data in default.etcd
#   make test     sets up and passes the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready-run
READY_DEV := $(VENV)/.ready-dev
COMPILED := build/.ready-compiled
# One more than there are cores: a third of the suite waits for elections, leases and processes that start.
JOBS ?= $(shell expr $$($(PYTHON) -c 'import os; print(os.cpu_count())') + 1)
SEEDS ?= 100
FIRST ?= 0

.PHONY: member proxy wheel test test-compiled lint guard sim bench bench-proxies bench-large bench-all protos clean help

help: ## what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(READY): pyproject.toml requirements/locked.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/locked.txt -e .
	touch $@

$(READY_DEV): pyproject.toml requirements/locked.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/locked.txt -e '.[dev]'
	touch $@ $(READY)

member: $(READY) ## run one member on 127.0.0.1:2379, data in default.etcd
	$(BIN)/dualmode member $(ARGS)

proxy: $(READY) ## run a proxy in front of 127.0.0.1:2379
	$(BIN)/dualmode proxy $(ARGS)

test: $(READY_DEV) ## unit and interop tests
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

# The wheel is built from a copy: the compiler leaves what it makes beside the modules, and there it would be imported.
$(COMPILED): $(READY_DEV) pyproject.toml $(shell find dualmode -name '*.py')
	rm -rf build && mkdir -p build/source
	cp -r dualmode pyproject.toml README.md LICENSE build/source
	cd build/source && HATCH_BUILD_HOOKS_ENABLE=1 ../../$(BIN)/python -m hatchling build --target wheel --directory ../wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target build/compiled build/wheel/*.whl
	touch $@

wheel: $(COMPILED) ## a wheel whose hot path is compiled (needs a C compiler and minutes), in build/wheel
	@ls build/wheel

test-compiled: $(COMPILED) ## the tests, against the compiled modules
	rm -rf build/compiled/tests && cp -r tests docs conf certs README.md Makefile pyproject.toml build/compiled
	cd build/compiled && PYTHONPATH=$$PWD ../../$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(READY_DEV) ## ruff, mypy strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

sim: $(READY_DEV) ## clusters on a simulated clock, network and disk: SEEDS=100 runs from FIRST=0 on
	$(BIN)/python -m tests.sim --seeds $(SEEDS) --first $(FIRST) $(ARGS)

guard: $(READY_DEV) ## CPU time of the hot path, beside what was recorded
	$(BIN)/python -m tests.bench.guard $(ARGS)

bench: $(READY_DEV) ## side by side with etcd; prints a table of ratios (ARGS=--plot: draws docs/charts)
	$(BIN)/python -m tests.bench $(ARGS)

bench-proxies: $(READY_DEV) ## dualmode proxy beside etcd's gRPC proxy and gateway
	$(BIN)/python -m tests.bench.proxies $(ARGS)

bench-large: $(READY_DEV) ## a million keys, a million revisions and their compaction, a snapshot of a gigabyte
	$(BIN)/python -m tests.bench.large
	$(BIN)/python -m tests.bench.history
	$(BIN)/python -m tests.bench.snapshots

bench-all: bench bench-proxies bench-large ## all three: the better part of an hour

protos: $(READY_DEV) ## compile dualmode/api/protos into the descriptor set that the package loads
	$(BIN)/python -m tests.api.compile_protos

clean: ## remove the environment and caches (never data)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
