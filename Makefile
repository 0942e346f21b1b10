# `make help` lists what can be made. The first call of a target makes .venv and installs the
# locked packages (about 8 GB); later calls reuse it.

.DEFAULT_GOAL := help
.PHONY: help test notebooks outputs lab benchmarks lint pins clean

VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))

# More for JupyterLab, such as LAB_OPTIONS="--allow-root --no-browser" in a container.
LAB_OPTIONS ?=

# The first Python 3.11 to 3.13 that answers; set PYTHON=... to choose another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$python && break; done)

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' \
		| awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

test: $(READY) ## run the tests, every notebook included
	$(RUN) -m pytest

notebooks: $(READY) ## run every notebook from top to bottom, two at a time; copies go to runs/
	$(RUN) -m helpers.experiments $(NOTEBOOKS)

outputs: $(READY) ## run every notebook and store the outputs in it
	$(RUN) -m helpers.experiments $(NOTEBOOKS) --store

lab: $(READY) ## open JupyterLab on this machine only, behind a token
	$(RUN) -m jupyterlab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir=. \
		--LabApp.default_url=/lab/tree/notebooks $(LAB_OPTIONS)

benchmarks: $(READY) ## measure, side by side; writes benchmarks/results/ and README.md
	for name in normal_maps pose_decoding world generate tables; do \
		$(RUN) benchmarks/$$name.py || exit 1; done

lint: $(READY) ## check the style of code and notebooks
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

pins: $(READY) ## make requirements.txt and environment.yml anew from pyproject.toml
	$(RUN) -m uv pip compile pyproject.toml --all-extras --universal --fork-strategy fewest \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
		--upgrade --quiet --output-file requirements.txt
	$(RUN) environment.py

clean: ## remove the environment and everything that was made
	rm -rf $(VENV) runs .pytest_cache .ruff_cache notebooks/.ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +

$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "expected Python 3.11, 3.12 or 3.13 on the PATH, found none;" \
		"install one, or name it: make test PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
