# Each target makes .venv when it is missing or older than pyproject.toml and constraints.txt. Needs Python >= 3.11 only.
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
RUN := $(VENV)/bin/python
# An environment that was moved with its folder does not work: the folder's checksum is part of the stamps' names.
PLACE := $(shell printf '%s' '$(CURDIR)' | cksum | cut -d ' ' -f 1)
BASE := $(VENV)/.base-$(PLACE)
FULL := $(VENV)/.full-$(PLACE)
INPUTS := pyproject.toml constraints.txt
PIP := $(RUN) -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
JOBS ?= auto
# What is installed beside the base to run the tests; jax and torch join the tests where they are named here.
EXTRAS ?= export,finetune,parquet,serve,tensorboard,dev

.PHONY: help demo test test-wide test-page test-slow check bench clean

help:
	@echo 'make demo       train on the built-in sample, offline, and write a report'
	@echo 'make test       the fast tests'
	@echo 'make test-wide  the same on more networks, recipes and formats, and all libraries that can fine-tune'
	@echo 'make test-page  the page of graft serve, in Chromium where there is one'
	@echo 'make test-slow  the tests that take minutes'
	@echo 'make check      format, lint, types, import directions, sizes: what continuous integration runs'
	@echo 'make bench      speed, as ratios measured side by side'
	@echo 'make clean      remove the environment and what tools left behind'

demo: $(BASE)
	@$(RUN) -m graft demo
	@echo
	@echo 'To type graft in this shell, first: . $(VENV)/bin/activate'

test: $(FULL)
	@$(RUN) -m pytest -n $(JOBS) --dist loadfile

test-wide: $(FULL)
	@$(RUN) -m pytest -n $(JOBS) --dist loadfile -m 'wide and not slow'

test-page: $(FULL)
	@$(RUN) -m pytest -n $(JOBS) --dist loadfile -m page tests/serving

test-slow: $(FULL)
	@$(RUN) -m pytest -n $(JOBS) --dist loadfile -m slow --timeout 3600

check: $(FULL)
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy --strict src
	@$(RUN) -m pytest tests/architecture/test_imports.py tests/architecture/test_sizes.py

bench: $(FULL)
	@set -e; for file in bench/bench_*.py; do \
	  if [ -e "$$file" ]; then $(RUN) "$$file"; else echo 'There is no benchmark yet.'; fi; done

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last: an interrupted installation is done again.
$(BASE): $(INPUTS) $(RUN)
	@echo 'Installing Graft into $(VENV) (once; a few minutes at most) …'
	@$(PIP) --editable .
	@touch $@

$(FULL): $(INPUTS) $(RUN)
	@echo 'Installing Graft with its tools into $(VENV) (once; a few minutes at most) …'
	@$(PIP) --editable '.[$(EXTRAS)]'
	@touch $(BASE) $@

# Versions that TensorFlow has wheels for come first; PYTHON=… names one and nothing else is tried.
$(RUN):
	@set -e; chosen=''; \
	for newest in 13 99; do for name in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
	  if [ -z "$$chosen" ] && "$$name" -c "import sys, venv, ensurepip; \
	sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $$newest))" >/dev/null 2>&1; then chosen="$$name"; fi; \
	done; done; \
	if [ -z "$$chosen" ]; then \
	  echo 'Graft needs Python 3.11 or newer with its venv module; none was found.' >&2; \
	  echo 'Install it (python.org, or your system: python3 and python3-venv), or: make PYTHON=/path/to/python3' >&2; \
	  exit 1; fi; \
	"$$chosen" -m venv --clear $(VENV)
