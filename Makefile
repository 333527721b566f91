# Everything that these targets need is installed into ignored folders of the project: .venv (the tap and its tests),
# .venvs/meltano, .venvs/singer-tools, .venvs/uv (the installer), .venvs/python (the Python of all the others) and
# .meltano (Meltano's plugins). `make clean` removes it.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# Without kept byte code every process of Meltano compiles it anew.
unexport PYTHONDONTWRITEBYTECODE
# The caller's own environment is not to be changed.
unexport VIRTUAL_ENV
export UV_PYTHON_DOWNLOADS := never
# A company's own authority is known to the system, not to uv.
export UV_SYSTEM_CERTS := true

# The supported versions, oldest first, are those of the classifiers.
VERSIONS := $(shell sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)
UV := .venvs/uv/bin/uv
VENV := $(UV) venv --quiet --allow-existing --python .venvs/python/bin/python
INSTALL := $(UV) pip install --quiet --python
RUN := .venv/bin/python -m
CHECK := .venv/bin/check-jsonschema --builtin-schema
TOOL := $(UV) tool run --quiet --python .venvs/python/bin/python
# Three at a time, for two processors: many tests wait. Each file by one process, in the order of `testpaths` in
# pyproject.toml: the longest, of tests/e2e, first.
THREE := -n 3 --dist loadfile --no-loadscope-reorder
FAST := not meltano and not packaging

.PHONY: help setup demo demo-psql test test-fast test-airflow test-next test-targets test-all bench audit docs lint lint-code \
	lint-config versions format build clean $(VERSIONS:%=test-%)

help: ## List targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.done .venvs/singer-tools/.done .meltano/.done ## Set up everything that the other targets need.

demo: .venv/.done .meltano/.done ## Load a made-up account through Meltano into PostgreSQL, and query it.
	@exec $(RUN) demo

demo-psql: .venv/.done ## Open psql on the tables of the demo, and print a connection string.
	@exec $(RUN) demo --psql

# `exec`, so that a signal to make reaches the tests.
test: setup ## Run all tests.
	exec $(RUN) pytest $(THREE)

test-fast: .venv/.done ## Run the tests that need neither Meltano nor the network.
	exec $(RUN) pytest $(THREE) -m "$(FAST)"

test-airflow: .venv/.done .venvs/airflow/.done .meltano/.done ## Run the DAG in an Airflow, with one machine and with two.
	exec $(RUN) pytest $(THREE) tests/airflow

bench: .venv/.done .meltano/.done ## Measure the tap beside its peers, for about an hour; ARGS=--quick to try it.
	$(RUN) benchmarks $(ARGS)
	$(RUN) benchmarks.losses

test-all: $(VERSIONS:%=test-%) ## Run test-fast on every supported Python that is found.

$(VERSIONS:%=test-%): test-%: .venvs/uv/.done
	@rm -f .venvs/python-$*/.found; \
	for name in python$* $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$*.*/bin/python; do \
	  python=$$($$name -c "import sys; print(sys.executable)" 2>/dev/null) && break; python=; \
	done; \
	test -n "$$python" || { echo "Python $* is not installed"; exit 0; }; \
	echo "Python $*: $$python"; \
	$(UV) venv --quiet --allow-existing --python "$$python" .venvs/python-$* && \
	$(INSTALL) .venvs/python-$* --editable . --group test && touch .venvs/python-$*/.found
	@! test -e .venvs/python-$*/.found || exec .venvs/python-$*/bin/python -m pytest -q $(THREE) -m "$(FAST)"

test-next: .venvs/next/.done ## Run the tap's own tests on the next, unreleased version of the SDK.
	exec .venvs/next/bin/python -m pytest $(THREE) -m "$(FAST)" tests/integration tests/unit

test-targets: .venv/.done ## Try the tap with Singer targets, into docs/targets.md; ARGS=target-duckdb tries one.
	$(RUN) tests.targets $(ARGS)

audit: .venvs/uv/.done ## Check the tap's dependencies for known vulnerabilities.
	@rm -rf .venvs/audit && $(VENV) .venvs/audit
	@$(INSTALL) .venvs/audit .
	@$(UV) pip freeze --quiet --python .venvs/audit | grep -v '^tap-payments' > .venvs/audit/installed.txt
	$(TOOL) pip-audit --strict --requirement .venvs/audit/installed.txt --no-deps --disable-pip

docs: .venv/.done ## Write what is generated from settings and schemas: docs/, meltano.yml, .env.example, hub/; ARGS=--slow: also the requests of a night.
	@$(RUN) scripts.documents $(ARGS)

lint: lint-code lint-config ## Check style, types, and configuration files against their schemas.

lint-code: .venv/.done ## Check style and types.
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy tap_payments tests scripts benchmarks demo orchestrate/dags/*.py load/*/*/*.py

lint-config: .venv/.done ## Check meltano.yml, the workflows and the hooks against their schemas.
	$(CHECK) vendor.meltano meltano.yml
	$(CHECK) vendor.github-workflows .github/workflows/*.yml
	$(CHECK) custom.github-workflows-require-timeout .github/workflows/*.yml
	$(CHECK) vendor.dependabot .github/dependabot.yml
	.venv/bin/pre-commit validate-config
	.venv/bin/zizmor --offline --quiet --pedantic .github

versions: ## Print the supported versions of Python as JSON.
	@echo $(VERSIONS) | sed 's/[^ ]*/"&"/g; s/ /, /g; s/.*/[&]/'

format: .venv/.done ## Fix style automatically.
	$(RUN) ruff check --fix-only
	$(RUN) ruff format

build: .venvs/uv/.done ## Build the wheel and the source distribution into dist/, and inspect them.
	$(UV) build --quiet --python .venvs/python/bin/python --clear --out-dir dist
	$(TOOL) "twine>=6.1,<8" check --strict dist/*
	$(TOOL) "check-wheel-contents>=0.6.3,<0.7" dist/*.whl

clean: ## Remove everything that was set up or built.
	rm -rf .venv .venvs .meltano .run .postgres output build dist *.egg-info
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find tap_payments tests benchmarks demo orchestrate load -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up. A folder is done when its stamp is newer than what it is made from.

.venvs/uv/.done: scripts/bootstrap.sh
	@PYTHON="$(PYTHON)" $(SHELL) scripts/bootstrap.sh
	@touch $@

.venv/.done: .venvs/uv/.done pyproject.toml
	@echo "Setting up the tap and its tests"
	@$(VENV) .venv
	@$(INSTALL) .venv --editable . --group test --group lint
	@touch $@

.venvs/meltano/.done: .venvs/uv/.done pyproject.toml
	@echo "Setting up Meltano"
	@$(VENV) .venvs/meltano
	@$(INSTALL) .venvs/meltano --group meltano
	@touch $@

.venvs/singer-tools/.done: .venvs/uv/.done pyproject.toml
	@echo "Setting up the checker of Singer's messages"
	@$(VENV) .venvs/singer-tools
	@$(INSTALL) .venvs/singer-tools --group singer-tools
	@touch $@

# A bound that names a pre-release allows those of this package alone.
.venvs/next/.done: .venvs/uv/.done pyproject.toml
	@echo "Setting up the tap with the next version of the SDK"
	@$(VENV) .venvs/next
	@$(INSTALL) .venvs/next --upgrade-package singer-sdk --editable . --group test "singer-sdk>=0.55.0a0"
	@touch $@

.venvs/airflow/.done: .venvs/uv/.done tests/airflow/requirements.txt
	@echo "Setting up Airflow"
	@$(VENV) .venvs/airflow
	@$(INSTALL) .venvs/airflow --requirement tests/airflow/requirements.txt
	@touch $@

.meltano/.done: .venvs/meltano/.done meltano.yml pyproject.toml load/target-postgres/pyproject.toml
	@echo "Setting up Meltano's plugins"
	@# Ctrl-C drops its traceback.
	@trap 'exit 130' INT; output=$$(.venvs/meltano/bin/meltano --log-level warning install 2>&1) || \
	  { echo "$$output" >&2; exit 1; }
	@touch $@
