# `make run` and `make test` are all a newcomer needs; both set up what is missing.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.educe-installed
# One test process per core, each with one thread: two threads in two processes would wait for one another; the whole
# suite waits a lot for processes and sockets, so that a third one helps. Compiled
# modules are kept even where a machine says otherwise: tests start Python many times.
PYTEST := env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 EDUCE_THREADS=1 $(BIN)/python -m pytest -q --dist loadfile

.PHONY: help run setup model test check format bench serve abacus docs clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s $$'\t'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[hf,dask,ray,constrained,science,figures,sandbox,site,dev,docs]'
	@touch $@

setup: $(STAMP) ## Make .venv with everything in it (2 to 4 minutes on first use)

model: $(STAMP)
	@$(BIN)/educe models get smollm2-135m --quiet

run: model ## Answer one question greedily and by vote, and show the posterior
	$(BIN)/educe ask "$$(cat examples/question.txt)" --method self-consistency --budget samples=16 --versus greedy

test: model ## Run the whole test suite
	$(PYTEST) -n 3

check: model ## Format, lint, types, import rules, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/readme_table.py --check
	$(PYTEST) -n 2 -x -m "not slow"

format: $(STAMP) ## Format and sort imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --quiet .

bench: model ## Run the benchmarks against their peers; results go into bench/results
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@set -e; for script in bench/[a-z]*.py; do $(BIN)/python "$$script"; done

serve: model ## Serve the page and the API on http://127.0.0.1:8000
	$(BIN)/educe serve --lm smollm2-135m --lm abacus

abacus: $(STAMP) ## Train the small reasoner again (30 to 45 minutes); its weights are in the package already
	$(BIN)/python scripts/train_abacus.py

docs: $(STAMP) ## Build the guide and the API reference into docs/_build
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean: ## Remove everything that make made
	rm -rf $(VENV) build dist docs/_build docs/reference/generated .mypy_cache .ruff_cache .pytest_cache .hypothesis
