# Everything runs in .venv, which the first call makes; `make help` lists what there is.
PYTHON ?= python3
PORT ?= 5000
UV_VERSION := 0.13.9

LOCK := requirements$(if $(GPU),-gpu).lock
INSTALLED := .venv/installed$(if $(GPU),-gpu)
RUN := .venv/bin/python -m
COMPILE := .venv/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-header --no-annotate pyproject.toml --extra dev

# The stages' commands start with `python`: that is the one of .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME
# Arrays of many megabytes in huge pages take 4 % off a training step; no bit depends on it.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: help setup repro extended bench smoke verify test test-slow check track verify-tracking ui lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## install the locked dependencies (GPU=1: with CUDA; PYTHON=python3.12: another interpreter)

repro: $(INSTALLED) ## the whole graph, on every core (JOBS=2: two runs at once; ADDRESS=auto: on a Ray cluster)
	@$(RUN) pipeline.repro $(if $(JOBS),--jobs $(JOBS)) $(if $(ADDRESS),--address $(ADDRESS))

extended: $(INSTALLED) ## the runs of extended variants on top, and the report with them (JOBS and ADDRESS as above)
	@$(RUN) pipeline.repro --extended $(if $(JOBS),--jobs $(JOBS)) $(if $(ADDRESS),--address $(ADDRESS))

bench: $(INSTALLED) ## measure this machine's speed into reports/benchmarks/: an hour, with nothing beside it
	@$(RUN) dvc repro --quiet preprocess
	@$(RUN) dvc repro --force --single-item benchmark/dvc.yaml
	@$(RUN) pipeline.track

smoke: $(INSTALLED) ## the whole graph on a small part of the data, in a temporary copy
	@$(RUN) pipeline.smoke

verify: $(INSTALLED) ## train runs anew in a temporary copy and hold them against what is published (RUNS=all; QUICK=1: small)
	@$(RUN) pipeline.verify $(if $(RUNS),--runs $(RUNS)) $(if $(QUICK),--quick) $(if $(RECORD),--record)

test: $(INSTALLED) ## the tests
	@$(RUN) pytest

test-slow: $(INSTALLED) ## the tests that take minutes: kills of dvc and of the driver, eight writers, every moment of a kill
	@$(RUN) pytest -m slow

check: $(INSTALLED) ## lint and format
	@$(RUN) ruff check
	@$(RUN) ruff format --check

track: $(INSTALLED) ## bring into MLflow what it lacks of the runs' files
	@$(RUN) pipeline.track

verify-tracking: $(INSTALLED) ## say which runs in MLflow are those of the present files, and which claim what these do not
	@$(RUN) pipeline.track --verify

ui: track ## MLflow's UI on 127.0.0.1 over the project's store (PORT=5000)
	@case "$$MLFLOW_TRACKING_URI" in http*) echo "the tracking server at MLFLOW_TRACKING_URI has the UI" ;; *) \
		MLFLOW_BACKEND_STORE_URI="$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}" DO_NOT_TRACK=true \
		MLFLOW_DISABLE_TELEMETRY=true MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
		$(RUN) mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --default-artifact-root ./mlartifacts ;; esac

lock: .venv/bin/python ## compile the lock files from pyproject.toml
	@$(RUN) pip install -qq --disable-pip-version-check uv==$(UV_VERSION)
	@$(COMPILE) -o requirements.lock
	@$(COMPILE) --extra gpu -c requirements.lock -o requirements-gpu.lock

$(INSTALLED): $(LOCK) pyproject.toml | .venv/bin/python
	@echo "installing $(LOCK) into .venv (takes minutes, once)"
	@$(RUN) pip install -qq --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(RUN) pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
		{ echo "expected Python 3.11, 3.12 or 3.13, received: $$($(PYTHON) --version 2>&1); set PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
