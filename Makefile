# Every target works as the first command typed in a fresh clone on Debian 12 with python3, git and
# make: it makes .venv from the locked versions, and installs missing Debian packages as root or by
# sudo (.ci/debian-packages). Nothing needs an activated environment.

PYTHON ?= python3
# More for the program: `make run ARGS="--store memory:// --log-level debug"`, and
# `make test ARGS="-k lease -x"`, which leaves out the coverage gates.
ARGS ?=
# What the tests need besides python3-venv. Services are not started on installing.
DEBIAN_TEST_PACKAGES := etcd-server etcd-client nats-server libfaketime

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet $(LOCK_FLAGS)
# The modules without I/O, as files; .importlinter is the one place that lists them.
SANS_IO = $(shell sed -n '/^\[importlinter:contract:sans-io\]/,/^forbidden_modules/ { \
	/^ \+\(discovery\|transports\)\.[a-z_.]\+$$/ { s,^ \+,,; s,\.,/,g; s,$$,.py,p } }' \
	.importlinter | paste -sd,)

unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help run demo test sim chaos soak fuzz lint format bench lock proto clean

help: ## List the targets.
	@sed -n 's/^\([a-z]\+\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: $(VENV)/.run ## Start discoveryd here; options in ARGS.
	@echo "discoveryd: requests on zmq://127.0.0.1:4710, http://127.0.0.1:4712/readyz says when it is up."
	@echo "In a program: async with discovery.connect(\"zmq://127.0.0.1:4710\") as d: ... ($(BIN)/python)"
	@echo "Stop it with Ctrl-C. Its options: make run ARGS=--help"
	@exec $(BIN)/discoveryd $(ARGS)

demo: $(VENV)/.run ## Show in half a minute what discoveryd does, with real processes.
	@$(BIN)/discoveryctl demo $(ARGS)

PARALLEL := --numprocesses 3 --dist worksteal
# Stories of many processes, and exhaustive searches: watched by coverage they take up to thrice as long.
UNWATCHED := tests/simulation tests/processes tests/chaos tests/soak tests/docs tests/test_benchmarks.py tests/test_readme.py \
	tests/discovery/test_pending.py tests/discovery/test_resilience.py tests/discovery/artifacts/test_kill.py \
	tests/cli/test_cli_doc.py tests/cli/test_demo.py tests/cli/test_doctor.py tests/cli/test_completion.py

test: $(VENV)/.dev ## Run the tests and hold the coverage against its gates.
	@.ci/debian-packages $(DEBIAN_TEST_PACKAGES)
	@$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(or $(ARGS),$(PARALLEL) $(UNWATCHED:%=--ignore %))
ifeq ($(strip $(ARGS)),)
	$(BIN)/python -m pytest $(PARALLEL) $(UNWATCHED)
	@$(BIN)/coverage combine --quiet
	@echo "Coverage of everything:"
	@$(BIN)/coverage report
	@echo "Coverage of the modules without I/O:"
	@$(BIN)/coverage report --fail-under=100 --include=$(SANS_IO)
endif

sim: $(VENV)/.dev ## Play 2,000 fresh worlds against the core; ARGS="--seed N --trace" tells of one.
	$(BIN)/python -m tests.simulation $(or $(ARGS),--campaign 2000)

chaos: $(VENV)/.dev ## Let real faults befall real processes for a minute; ARGS="--seed N", "--runs 20".
	@.ci/debian-packages $(DEBIAN_TEST_PACKAGES)
	$(BIN)/python -m tests.chaos $(ARGS)

soak: $(VENV)/.dev ## Churn 2,000 workers under 200 streams for an hour; ARGS="--minutes 3" for a look.
	@.ci/debian-packages $(DEBIAN_TEST_PACKAGES)
	$(BIN)/python -m tests.soak $(ARGS)

fuzz: $(VENV)/.fuzz ## Fuzz all decoders for an hour; ARGS="--seconds 60 --target NAME" for a look at one.
	$(BIN)/python -m tests.fuzz $(ARGS)

lint: $(VENV)/.dev ## Check format, style, types and the direction of imports.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what can be mended.
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(VENV)/.dev ## Measure for up to half an hour, the peer system too; ARGS="--quick" for a look, "--only NAME".
	@$(BIN)/python benchmarks/run.py $(ARGS)

lock: $(VENV)/.dev ## Lock the versions anew from pyproject.toml; LOCK_FLAGS=--upgrade for newer ones.
	$(PIP_COMPILE) --extra http --extra fast --extra etcd --extra nats --extra models \
		--output-file requirements/run.txt pyproject.toml
	$(PIP_COMPILE) --extra http --extra fast --extra etcd --extra nats --extra models --extra gcs --extra s3 \
		--extra peers --extra test --extra dev \
		--constraint requirements/run.txt --output-file requirements/dev.txt pyproject.toml
	$(PIP_COMPILE) --extra fuzz --constraint requirements/dev.txt --output-file requirements/fuzz.txt pyproject.toml

# The version is the oldest whose output the protobuf versions of pyproject.toml all accept.
proto: ## Make the etcd messages anew from etcd.proto, with a compiler in an environment of its own.
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $(PYTHON) -m venv "$$dir" \
		&& "$$dir/bin/pip" install --quiet --disable-pip-version-check grpcio-tools==1.66.2 "setuptools<80" \
		&& "$$dir/bin/python" -m grpc_tools.protoc -I. --python_out=. --pyi_out=. $(wildcard discovery/stores/*/*.proto)

clean: ## Remove everything that the other targets make.
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.fuzz: requirements/fuzz.txt $(VENV)/.dev
	@echo "Installing $< into $(VENV)"
	@$(PIP_INSTALL) --require-hashes --requirement $<
	@touch $@

# A stamp is as new as what it was made from, so that the next call installs nothing.
$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/.made
$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/.made
$(VENV)/.run $(VENV)/.dev:
	@echo "Installing $< into $(VENV)"
	@$(PIP_INSTALL) --require-hashes --requirement $<
	@PYTHONWARNINGS=ignore $(PIP_INSTALL) --no-deps --no-build-isolation --editable . # setuptools warns of every editable install
	@touch $@

$(VENV)/.made:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || .ci/debian-packages python3-venv
	@$(PYTHON) -m venv --clear $(VENV) # whatever an interrupted or another Python left there
	@touch $@
