# Everything runs in .venv, which the first target that needs it sets up. A bare machine needs
# Python >= 3.11 and make. PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
VENV ?= .venv
OLDEST ?= .venv-oldest
JAX ?= .jax
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check -qq

# Each process of the tests loads TensorFlow: two suit two cores and 8 GB. JOBS=0 runs them in one.
JOBS ?= 2
PYTEST := -m pytest -q -n $(JOBS) --dist loadfile

export KERAS_BACKEND := tensorflow
export TF_CPP_MIN_LOG_LEVEL := 3

# TensorFlow logs on stderr which CPU kernels it uses, and does so before its log settings count:
# nothing but a filter can drop those lines. `quietly` keeps everything else, and the exit status.
TF_CHATTER := -e '/^WARNING: All log messages before absl::InitializeLog/d' -e '/^I0000 .*\.cc:/d'
quietly = { { { { $(1); echo $$? >&3; } 2>&1 >&4 | sed $(TF_CHATTER) >&2; } 3>&1 4>&5 5>&- | \
	{ read -r status; exit $$status; }; } 5>&1; }

.PHONY: help demo test quick oldest jax lint types docs examples benchmarks format clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed-run  ## a grid search over callbacks and schedules, on scikit-learn's data
	@$(call quietly,$(RUN) examples/02_grid_search_callbacks.py)

test: $(VENV)/.installed-test  ## the whole test suite
	@$(RUN) $(PYTEST)

quick: $(VENV)/.installed-test  ## the tests that take seconds
	@$(RUN) $(PYTEST) -m "not slow"

oldest: $(OLDEST)/.installed  ## the quick tests on the oldest versions allowed
	@$(OLDEST)/bin/python $(PYTEST) -m "not slow"

jax: $(JAX)/.installed  ## the tests of Keras on JAX, which is kept apart
	@PYTHONPATH=$(JAX) $(RUN) -m pytest -q tests/engine/test_backends.py

lint: $(VENV)/.installed-dev  ## ruff: rules and layout
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --check --quiet .

types: $(VENV)/.installed-dev  ## mypy
	@$(RUN) -m mypy --no-error-summary

docs: $(VENV)/.installed-dev  ## the site in docs/_build/html, warnings are errors
	@$(RUN) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

examples: $(VENV)/.installed-run  ## every script of examples/, one after the other
	@for script in examples/[0-9]*.py; do \
		echo "== $$script"; $(call quietly,$(RUN) $$script) || exit 1; \
	done

benchmarks: $(VENV)/.installed-benchmarks  ## skcb against its peers, by turns (most of an hour)
	@$(call quietly,$(RUN) examples/benchmarks/run_all.py)

format: $(VENV)/.installed-dev  ## let ruff mend what it can
	@$(RUN) -m ruff check --fix --quiet .
	@$(RUN) -m ruff format --quiet .

clean:  ## remove what builds and tests leave behind (.venv stays)
	@rm -rf build dist docs/_build docs/generated .pytest_cache .ruff_cache .mypy_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# One stamp for each set of extras: a second call of any target installs nothing, a changed
# pyproject.toml installs again. `run` is the package with what it needs at runtime.
$(RUN):
	@command -v $(PYTHON) >/dev/null || \
		{ echo "$(PYTHON) not found: skcb needs Python >= 3.11 (make PYTHON=/path/to/python)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is $$($(PYTHON) -V 2>&1): skcb needs Python >= 3.11 (make PYTHON=python3.12)"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) -V)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) -m venv failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }

$(OLDEST)/.installed: pyproject.toml tests/oldest.txt | $(RUN)
	@echo "setting up $(OLDEST) with the oldest versions allowed"
	@$(RUN) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check -qq install \
		--constraint tests/oldest.txt --editable '.[test]'
	@touch $@

# Not in .venv: TensorFlow loads JAX wherever it is installed.
$(JAX)/.installed: pyproject.toml $(VENV)/.installed-test
	@echo "installing JAX in $(JAX)"
	@$(PIP) install --upgrade --target $(JAX) 'jax>=0.10'
	@touch $@

$(VENV)/.installed-run: pyproject.toml | $(RUN)
	@echo "installing skcb and what it needs (TensorFlow is large: the first time takes a minute)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test $(VENV)/.installed-dev $(VENV)/.installed-benchmarks: $(VENV)/.installed-%: pyproject.toml $(VENV)/.installed-run
	@echo "installing skcb[$*]"
	@$(PIP) install --editable '.[$*]'
	@touch $@
