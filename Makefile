# Needs git, make and Python 3.10 or newer. Everything else is fetched into .venv, .venv-meltano, .venv-analyze and .meltano.
PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Without bytecode every start of the tap, of Meltano and of a loader compiles all of it anew, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE
# A proxy that signs connections anew is known to the system, not to uv. Where the system has no certificates, uv's own serve.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/ssl/cert.pem /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem),)
export UV_SYSTEM_CERTS ?= true
endif

BIN := .venv/bin
UV := $(BIN)/uv
MELTANO := .venv-meltano/bin/meltano
MELTANO_VERSION := 4.4.1
DATABASE := $(CURDIR)/output/tallyfy.duckdb
DAGSTER_VERSION := 1.13.27
DAGSTER_POSTGRES_VERSION := 0.29.27
AIRFLOW_VERSION := 3.3.2
# The DuckDB loader needs duckdb 1.0.0, which has no wheel for a newer Python; plugins use the Python of Meltano.
MELTANO_PYTHONS := >=3.10,<3.13
LOCK := $(UV) pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links
DBT_PACKAGES := dbt-core==1.11.16 dbt-duckdb==1.11.1 dbt-postgres==1.11.0 duckdb==1.5.6
ANALYZE_PACKAGES := altair==6.2.2 vl-convert-python==1.9.0.post1 duckdb==1.5.6 duckdb-cli==1.5.6 pyyaml==6.0.3
PYTHONS := $(shell sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml)

.PHONY: help demo report sql docs organizations test models soak coverage lint pythons package bench lock clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1\t/p' $(MAKEFILE_LIST)

# Ctrl-C before the demo can handle it ends it without a traceback.
demo: .venv/ready .venv-meltano/demo .venv-analyze/ready ## Sync a sandbox account into DuckDB and make the page of answers; needs no account
	@$(BIN)/python -c 'import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); from sandbox.demo import cli; cli()'

report: .venv/ready .venv-meltano/plugins .venv-analyze/ready ## Sync the account that .env names, and write output/tallyfy.html
	@TARGET_DUCKDB_FILEPATH=$(DATABASE) $(MELTANO) run tap-tallyfy target-duckdb dbt:build
	@$(if $(wildcard .env),$(BIN)/dotenv run --no-override --) .venv-analyze/bin/python -m analyze $(DATABASE)

sql: .venv-analyze/ready ## Open a prompt for SQL on output/tallyfy.duckdb, or on another file: FILE=output/sandbox.duckdb
	@.venv-analyze/bin/duckdb -readonly $(or $(FILE),$(DATABASE))

docs: .venv-meltano/plugins ## Write the documentation of the tables into transform/target/static_index.html, after `make report`
	@TARGET_DUCKDB_FILEPATH=$(DATABASE) $(MELTANO) invoke dbt:docs
	@echo 'The documentation: transform/target/static_index.html'

organizations: .venv/ready .venv-meltano/plugins .venv-dagster/ready ## Sync 20 sandbox organizations with Dagster into PostgreSQL, kill some of it, and compare every table
	@APART=1 $(BIN)/python -m pytest -q tests/test_dagster.py tests/test_organization_meltano.py
	@$(BIN)/python -m tests.many_organizations

test: lint .venv-meltano/plugins .venv-analyze/ready ## Run the checks
	$(BIN)/python -m pytest --numprocesses 3 --dist load --maxschedchunk 1

models: .venv-meltano/plugins .venv/ready .venv-analyze/ready $(DBT_PYTHON:%=.venv-dbt-%/ready) ## Build the models on DuckDB and PostgreSQL, and check the questions and the page; DBT_PYTHON=3.13 with another Python
	APART=1 $(DBT_PYTHON:%=TAP_TALLYFY_DBT=$(CURDIR)/.venv-dbt-%/bin/dbt) $(BIN)/python -m pytest --numprocesses 2 --dist loadfile \
		tests/test_models.py tests/test_questions.py tests/test_page.py tests/test_models_meltano.py

soak: .venv/ready ## Search for a broken guarantee in 20 times as many worlds as `make test`, and count the requests of a large account; SEED=n repeats a search, SOAK=100 takes hours
	@seed=$${SEED:-$$($(BIN)/python -c 'import secrets; print(secrets.randbelow(2**32))')}; \
	echo "To repeat this search: SEED=$$seed make soak$(if $(SOAK), SOAK=$(SOAK))"; \
	APART=1 SEED=$$seed SOAK=$(or $(SOAK),20) $(BIN)/python -m pytest --hypothesis-seed=$$seed \
		tests/test_guarantees.py tests/test_changed.py tests/test_large.py

coverage: .venv-meltano/plugins .venv-analyze/ready .venv/ready ## Run the tests and fail if they reach too few branches; takes longer
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --numprocesses 2
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

pythons: $(UV) ## Run the tests that start the tap on every Python it is made for; PYTHONS="3.10 3.14" for some
	@for version in $(PYTHONS); do \
		$(UV) run --isolated --no-project --python $$version --with-requirements requirements-dev.txt --with-editable . \
			python -m pytest --numprocesses 2 -p no:cacheprovider tests/test_plain_tap.py tests/test_sdk_suite.py tests/test_records.py; \
	done

package: .venv/ready ## Build dist/, install the wheel in an empty environment and sync the sandbox with it
	@rm -rf dist
	@PACKAGES=$(CURDIR)/dist $(BIN)/python -m pytest tests/test_package.py
	@rm -r dist/from_sdist

bench: .venv/ready ## Measure the tap beside other ways to read the same list, and write down the results
	@$(BIN)/python -m benchmarks

lock: $(UV) ## Renew the pinned requirements
	$(LOCK) --upgrade pyproject.toml --group dev --output-file requirements-dev.txt
	echo 'meltano[postgres]==$(MELTANO_VERSION)' | $(LOCK) --upgrade - --output-file requirements-meltano.txt
	printf '%s\n' $(DBT_PACKAGES) | $(LOCK) --upgrade - --output-file requirements-dbt.txt
	printf '%s\n' $(ANALYZE_PACKAGES) | $(LOCK) --upgrade - --output-file requirements-analyze.txt
	# dagster-postgres trails Dagster by some hours; unpinned it would silently be that of 2021.
	printf '%s\n' dagster==$(DAGSTER_VERSION) dagster-webserver==$(DAGSTER_VERSION) dagster-postgres==$(DAGSTER_POSTGRES_VERSION) \
		'psycopg[binary]' 'sqlalchemy<2.1' | $(LOCK) --upgrade - --output-file orchestrate/dagster/requirements.txt
	printf '%s\n' apache-airflow==$(AIRFLOW_VERSION) apache-airflow-providers-postgres 'psycopg[binary]' \
		| $(LOCK) --upgrade - --output-file orchestrate/airflow/requirements.txt
	@! grep -n '://' requirements-*.txt orchestrate/*/requirements.txt

clean: ## Remove everything the other targets made, but no state and no data of a real account
	rm -rf .venv .venv-meltano .venv-analyze .venv-dagster .venv-airflow .venv-dbt-* .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	rm -rf orchestrate/.meltano .meltano/extractors .meltano/loaders .meltano/utilities .meltano/logs .meltano/run transform/target transform/logs
	rm -rf output/sandbox.duckdb output/sandbox.html output/demo.log
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("Python 3.10 or newer is needed: make ... PYTHON=python3.12")'
	@echo 'Installing uv, which installs the rest, some seconds'
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-meltano.txt \
		| $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement /dev/stdin

.venv/ready: pyproject.toml requirements-dev.txt | $(UV)
	@echo 'Installing the tap, some seconds'
	@$(UV) pip install --quiet --python .venv --require-hashes --requirements requirements-dev.txt
	@$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

.venv-meltano/ready: requirements-meltano.txt | $(UV)
	@$(UV) python find --quiet --system --no-project '$(MELTANO_PYTHONS)' >/dev/null 2>&1 \
		|| $(UV) python install --quiet 3.12 >/dev/null 2>&1 \
		|| { echo 'Meltano and its DuckDB loader need Python 3.10, 3.11 or 3.12 beside yours: install one (pyenv install 3.12, brew install python@3.12) and run make again.'; exit 1; }
	@echo 'Installing Meltano, about 10 s'
	@$(UV) venv --quiet --clear --no-project --python '$(MELTANO_PYTHONS)' .venv-meltano
	@$(UV) pip install --quiet --python .venv-meltano --require-hashes --requirements requirements-meltano.txt
	@touch $@

# What the demo needs of them, which is installed sooner than all.
.venv-meltano/demo: .venv-meltano/ready meltano.yml pyproject.toml requirements-dbt.txt
	@echo 'Installing the loader for DuckDB and dbt, about 20 s'
	@$(MELTANO) --log-level=warning install tap-tallyfy target-duckdb dbt
	@touch $@

.venv-meltano/plugins: .venv-meltano/ready meltano.yml pyproject.toml requirements-dbt.txt
	@echo 'Installing the loaders and dbt, about 30 s'
	@$(MELTANO) --log-level=warning install
	@touch $@ .venv-meltano/demo

.venv-analyze/ready: requirements-analyze.txt | $(UV)
	@echo 'Installing what draws the charts, about 5 s'
	@$(UV) venv --quiet --clear --no-project --python $(BIN)/python .venv-analyze
	@$(UV) pip install --quiet --python .venv-analyze --require-hashes --requirements requirements-analyze.txt
	@touch $@

# Without Meltano dbt runs on newer versions of Python, too.
.venv-dbt-%/ready: requirements-dbt.txt | $(UV)
	@$(UV) venv --quiet --clear --no-project --python $* .venv-dbt-$*
	@$(UV) pip install --quiet --python .venv-dbt-$* --require-hashes --requirements $<
	@touch $@

.venv-dagster/ready .venv-airflow/ready: .venv-%/ready: orchestrate/%/requirements.txt | $(UV)
	@$(UV) venv --quiet --clear --no-project --python '$(MELTANO_PYTHONS)' .venv-$*
	@$(UV) pip install --quiet --python .venv-$* --require-hashes --requirements $<
	@touch $@
