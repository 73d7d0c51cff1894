# Each target makes what it needs from nothing: Python >= 3.11 and make are enough. See CONTRIBUTING.md.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

# One distribution of ONNX Runtime, never both: the one for NVIDIA GPUs where there is one. `make ORT=cpu` overrules.
ORT ?= $(shell if nvidia-smi -L >/dev/null 2>&1 || test -e /proc/driver/nvidia/version; then echo gpu; else echo cpu; fi)

# Stamps. The environment's bears the distribution's name: another one begins with an empty environment.
MADE := $(VENV)/.made-$(ORT)
MAIN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev

# No build isolation: building rnnx takes the pinned setuptools too.
INSTALL := $(RUN) -m pip install --disable-pip-version-check --constraint constraints.txt
EDITABLE := $(INSTALL) --no-build-isolation --editable

.PHONY: help demo test check bench gallery clean
.DELETE_ON_ERROR:
# Two targets at once would install into one environment at once.
.NOTPARALLEL:

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: $(MAIN)  ## export the speaker model, prove it, run it without torch
	$(RUN) -m rnnx.models.speaker.demo

test: $(DEV)  ## the whole test suite
	$(RUN) -m pytest

check: $(DEV)  ## lint, formatting and types
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	cd $(VENV)/link && ../bin/python -m mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p rnnx

bench: $(MAIN)  ## what sessions and streams cost over bare ONNX Runtime
	$(RUN) -m rnnx.benchmarks.session_overhead
	$(RUN) -m rnnx.benchmarks.stream_overhead

gallery: $(DEV)  ## a page on which every system of the zoo shows what it does
	$(RUN) -m rnnx.models.zoo.gallery -o gallery.html

clean:  ## remove the environment and everything that was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The link gives this folder, whatever its name, the name `rnnx` for mypy, which does not see editable installations.
$(MADE):
	@command -v $(PYTHON) >/dev/null || { echo "'$(PYTHON)' is not there. Install Python >= 3.11, or name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "'$(PYTHON)' is $$($(PYTHON) --version 2>&1); rnnx needs Python >= 3.11. Name another one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@echo "Making $(VENV) with the '$(ORT)' extra. The first time this downloads PyTorch and takes minutes."
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	mkdir $(VENV)/link && ln -s ../.. $(VENV)/link/rnnx
	touch $@

$(MAIN): $(MADE) pyproject.toml constraints.txt
	$(INSTALL) setuptools
	$(EDITABLE) '.[$(ORT),export]'
	touch $@

$(DEV): $(MAIN)
	$(EDITABLE) '.[$(ORT),export,serve,grpc,otel,zoo,dev]'
	touch $@
