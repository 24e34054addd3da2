# Everything a person needs, in one place. Needs Python 3.11 to 3.13 and make; the rest is set up by itself in .venv.
PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
ARIANE_DATA ?= ./data
BIN := .venv/bin
export HOST PORT ARIANE_DATA
# Compiling our modules and rewriting the tests' asserts takes longer than importing both: it is done once, not by every process.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test shops corpora check fix demo bench faults mutants openapi examples lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/run.stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Python 3.11 to 3.13 is needed, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || { echo "setting up .venv (a minute, once)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q app demo migrations
	@touch $@

.venv/dev.stamp: requirements-dev.lock .venv/run.stamp
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

run: .venv/run.stamp ## start the service (HOST, PORT, ARIANE_DATA from the environment)
	@exec $(BIN)/ariane serve

test: .venv/dev.stamp ## every test but those that kill processes, and the checks of the house
	$(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not faults" $(ARGS)

shops: .venv/dev.stamp ## real shops from npm (Vendure, Medusa) beside a running Ariane, compared to the cent; needs Node
	bash .ci/install-shops
	ARIANE_TESTS_SHOPS=1 $(BIN)/python -m pytest -q tests/shops $(ARGS)

corpora: .venv/dev.stamp ## public lists of bots, browsers and phones, and the shares of them that are read wrong; needs npm
	bash .ci/judge-browsers

check: .venv/dev.stamp ## types, lint, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/dev.stamp ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: .venv/run.stamp ## a launch day against the running service, checked to the minor unit
	@exec $(BIN)/ariane demo

bench: .venv/dev.stamp ## the figures of docs/figures.md, as ratios measured in turn
	$(BIN)/python -m bench

faults: .venv/dev.stamp ## the fault tests, the long way: kill -9 and a stopped database, many times
	ARIANE_TESTS_LONG=1 $(BIN)/python -m pytest -q tests/faults $(ARGS)

mutants: .venv/dev.stamp ## changes of the code that no test notices (ROOM=domain, FILES=... or SINCE=HEAD; SAMPLE=150 or all; SEED=1)
	$(BIN)/python -m tests.mutants $(if $(ROOM),--room $(ROOM)) $(if $(FILES),--files $(FILES)) $(if $(SINCE),--since $(SINCE)) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED))

examples: .venv/dev.stamp ## play app/api/story.toml against a running service, and write its answers and openapi/openapi.json anew
	ARIANE_TESTS_WRITE_EXAMPLES=1 $(BIN)/python -m pytest -q tests/api/test_examples.py -k works
	$(BIN)/ariane openapi > openapi/openapi.json

openapi: .venv/dev.stamp ## write openapi/openapi.json anew
	$(BIN)/ariane openapi > openapi/openapi.json

lock: .venv/dev.stamp ## resolve the dependencies into the two lock files (UPGRADE=--upgrade: the newest of all)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate --generate-hashes $(UPGRADE) pyproject.toml --group build -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate --generate-hashes $(UPGRADE) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock
