# Misir: `make run` starts it here, `make test` proves it. Everything lives in .venv; paths may hold spaces.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: install run test lint format lock bench screenshots
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore

# A stamp per list of requirements: nothing is installed again until a list, the lock or pyproject changes.
install: .venv/installed

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt requirements.lock pyproject.toml | .venv/bin/python
	$(PIP) -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt requirements.txt requirements.lock pyproject.toml | .venv/bin/python
	$(PIP) -r requirements-dev.txt
	@touch $@ .venv/installed

# Standard Webhooks in JavaScript, against which signatures are tested. Without npm or a network those tests are skipped.
.venv/node/installed: | .venv/bin/python
	@if command -v npm >/dev/null && npm install --silent --no-audit --no-fund --prefix .venv/node standardwebhooks@1; then \
	  touch $@; else echo "no npm package standardwebhooks: its tests are skipped" >&2; fi

run: install
	@exec $(BIN)/misir serve --local $(ARGS)

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Leaves the commit's name behind for `misir check`, when it is the commit that passed and not a change of it.
test: lint .venv/node/installed
	@rm -f .venv/suite-passed
	$(BIN)/python -m pytest -n 2 $(ARGS)
	@if [ -z "$(ARGS)" ] && [ -z "$$(git status --porcelain 2>/dev/null)" ]; then git rev-parse HEAD > .venv/suite-passed 2>/dev/null || rm -f .venv/suite-passed; fi

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A picture of every page, of six simulated weeks of reading, into docs/screenshots. Needs Chromium.
screenshots: .venv/installed-dev
	$(BIN)/python benchmarks/screenshots.py

# Every benchmark, one after another, into docs/performance.md. ARGS="--full" takes an hour.
bench: .venv/installed-dev
	$(BIN)/python benchmarks/everything.py $(ARGS)

# The versions everybody gets: the newest that pyproject.toml allows.
lock: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --root-user-action=ignore uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --upgrade --quiet --output-file requirements.lock
