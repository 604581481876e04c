# The one entry point. Every target does the set-up that it needs, inside the checkout, from the hashed locks.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-bench/.ready

export UV_PYTHON_DOWNLOADS := never

.PHONY: help setup demo test soak exchange lint types contracts bench docs record lock hooks clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## Set up .venv from the locks (every other target does so too)

# Again when a lock, the project's own data or the set-up itself changes.
$(READY): requirements/dev.txt requirements/uv.txt pyproject.toml scripts/setup
	@scripts/setup

# What the benchmarks compare with stays apart from what is measured.
$(PEERS): requirements/bench.txt requirements/uv.txt scripts/setup
	@scripts/setup bench

demo: $(READY) ## A year of candles from an offline exchange, cold and warm
	@$(BIN)/python -m chandlery.cli.demo

test: $(READY) ## All tests, and the time that they take
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 6 --dist worksteal --durations=5

soak: $(READY) ## The long runs under faults
	@$(BIN)/python -m pytest -m soak

exchange: $(READY) ## All that concerns one exchange: make exchange ID=kraken_spot
	@test -n "$(ID)" || { echo "name one: make exchange ID=kraken_spot" >&2; exit 2; }
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/exchanges_page.py
	@$(BIN)/python -m pytest -n 2 -rs -k "$(ID) or test_exchanges_page or test_layout" --ignore tests/service --ignore tests/database

lint: $(READY) ## Style, formatting, beginnings of docstrings, and that the locks are whole and name no host
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/python scripts/check_locks.py
	@$(BIN)/python scripts/check_docstrings.py

types: $(READY) ## Static types, strictly, of the library and of users' programs
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -m soak -p no:xdist tests/test_types.py -k mypy

contracts: $(READY) ## Who may import whom
	@$(BIN)/lint-imports --no-cache

bench: $(READY) $(PEERS) ## Ratios to hand-written code and to other libraries, in one run
	@$(BIN)/python bench/run.py

docs: $(READY) ## Write the page of the exchanges; check links, names and code blocks of the documentation
	@$(BIN)/python scripts/exchanges_page.py
	@$(BIN)/python -m pytest tests/docs tests/test_public_names.py

record: $(READY) ## Payload tests out of the bundle of a probe: make record BUNDLE=folder
	@$(BIN)/python scripts/record.py "$(BUNDLE)"

lock: ## Resolve the locks anew
	@scripts/lock

hooks: ## Have git run make lint before each commit of this checkout
	@git config core.hooksPath .githooks

clean: ## Remove everything that was built, the environment included
	rm -rf .venv .venv-bench dist build site .hypothesis .mypy_cache .ruff_cache .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
