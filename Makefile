# Everything runs in .venv, which the first call makes; `make help` lists what there is.
PYTHON ?= python3

# WHEELS=folder: packages come from there alone, as on a machine without a network.
FROM := $(if $(WHEELS),--no-index -f "$(WHEELS)")
LOCK := requirements$(if $(GPU),-gpu).lock
PIP := .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes $(FROM)
# uv does not read pip's settings: it is told the index, and trusts whom the system trusts.
UV := UV_DEFAULT_INDEX="$${PIP_INDEX_URL:-$$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || \
	echo "$$UV_DEFAULT_INDEX")}" .venv/bin/uv pip install --quiet --python .venv/bin/python --system-certs --compile-bytecode --require-hashes $(FROM)
# The mark of a finished installation knows the folder: in a copy, or after a move, there is no such file.
INSTALLED := .venv/installed$(if $(GPU),-gpu)-$(shell pwd -P | cksum | cut -d ' ' -f 1)
RUN := .venv/bin/python -m
DIGIT_VAE := $(RUN) digit_vae
CORES := .venv/bin/python -c 'from digit_vae.base.cores import usable_cores; print(usable_cores())'
MACHINES = $(if $(JOBS),--jobs $(JOBS)) $(if $(ADDRESS),--address $(ADDRESS)) $(if $(ANEW),--anew)
COMPILE := .venv/bin/uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 \
	--generate-hashes --no-header --no-annotate

# The stages' commands start with `python`: that is the one of .venv.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONUTF8 := 1
unexport PYTHONPATH PYTHONHOME PYTHONSAFEPATH  # the stages' code is found in this folder
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_DRY_RUN  # and packages go into .venv
# Arrays of many megabytes in huge pages take 4 % off a training step; no bit depends on it.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: help setup repro beyond search bench smoke changes verify test test-slow check track verify-tracking ui serve site summary tidy schema lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## install the locked dependencies (GPU=1: with CUDA; WHEELS=folder: from there; PYTHON=python3.12: another interpreter)

repro: $(INSTALLED) ## the paper's graph, on every core (JOBS=2: two runs at once; ADDRESS=auto: on a Ray cluster; ANEW=1: train all)
	@$(DIGIT_VAE) repro $(MACHINES)

beyond: $(INSTALLED) ## the runs that go beyond the paper on top, and their report (JOBS, ADDRESS and ANEW as above)
	@$(DIGIT_VAE) beyond $(MACHINES)

search: $(INSTALLED) ## seek a better recipe, on search.device (GPU=1); goes on where it was stopped (TRIALS=6: so many more; JOBS, ADDRESS and ANEW as above)
	@$(RUN) dvc repro --quiet preprocess
	@$(DIGIT_VAE) search $(MACHINES) $(if $(TRIALS),--trials $(TRIALS))

bench: $(INSTALLED) ## measure this machine's speed into reports/benchmarks/: an hour, with nothing beside it (GPU=1: CPU and GPU, with XLA and without)
	@$(RUN) dvc repro --quiet preprocess
	@$(DIGIT_VAE) bench $(if $(GPU),--gpu)
	@$(DIGIT_VAE) track

smoke: $(INSTALLED) ## the whole graph on a small part of the data, in a temporary copy
	@$(DIGIT_VAE) smoke

changes: $(INSTALLED) ## what this branch changes: params, metrics, figures, numbers without their run (BASE=main; PAGE=changes.html)
	@$(DIGIT_VAE) changes --base $(or $(BASE),main) $(if $(PAGE),--page $(PAGE)) $(if $(SUMMARY),--summary $(SUMMARY)) $(if $(IMAGES),--images $(IMAGES))

verify: $(INSTALLED) ## train runs anew in a temporary copy and compare them with what is published (RUNS=all; QUICK=1: small)
	@$(DIGIT_VAE) verify $(if $(RUNS),--runs $(RUNS)) $(if $(QUICK),--quick) $(if $(RECORD),--record) $(if $(SUMMARY),--summary $(SUMMARY))

test: $(INSTALLED) ## the tests, on every core up to four
	@PYTEST_XDIST_AUTO_NUM_WORKERS="$${PYTEST_XDIST_AUTO_NUM_WORKERS:-$$($(CORES))}" $(RUN) pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-slow: $(INSTALLED) ## the tests that take minutes: kills at every moment and at random (KILL_GRAPHS=1 KILLS=3: fewer), eight writers
	@$(RUN) pytest -m slow

check: $(INSTALLED) ## lint, format and types
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy

track: $(INSTALLED) ## bring into MLflow what it lacks of the runs' files
	@$(DIGIT_VAE) track

verify-tracking: $(INSTALLED) ## say which runs in MLflow are not as the present files have them, and which claim what these do not
	@$(DIGIT_VAE) verify-tracking

ui: $(INSTALLED) ## MLflow's UI on 127.0.0.1 over the project's store (PORT=5001: another port)
	@exec $(DIGIT_VAE) ui $(if $(PORT),--port $(PORT))

serve: $(INSTALLED) ## the champion of MLflow's registry on 127.0.0.1, for other programs (PORT=5003: another port)
	@exec $(DIGIT_VAE) serve $(if $(PORT),--port $(PORT))

site: $(INSTALLED) ## the results as pages to look at, on 127.0.0.1, without training (PORT=8001: another port; BUILD=1: only write build/site)
	@$(RUN) dvc repro --quiet preprocess
	@exec $(DIGIT_VAE) site $(if $(PORT),--port $(PORT)) $(if $(BUILD),--build-only)

summary: $(INSTALLED) ## write reports/README.md and the numbers of README.md from the committed results
	@$(DIGIT_VAE) summary

tidy: $(INSTALLED) ## move the files of runs that params.yaml no longer declares into leftovers/
	@$(DIGIT_VAE) tidy

schema: $(INSTALLED) ## write params.schema.json, with which editors check params.yaml
	@$(DIGIT_VAE) schema

lock: .venv/bin/python ## compile the lock files from pyproject.toml
	@$(PIP) -r requirements-uv.lock
	@$(COMPILE) pyproject.toml --extra dev -o requirements.lock
	@$(COMPILE) pyproject.toml --extra dev --extra gpu -c requirements.lock -o requirements-gpu.lock
	@echo uv | $(COMPILE) - -o requirements-uv.lock

# The package itself is not installed: .venv names src, relative to itself, and so never another folder's code.
$(INSTALLED): $(LOCK) pyproject.toml
	@made="$$(cat .venv/folder 2>/dev/null)"; here="$$(pwd -P)"; \
	if [ -e .venv ] && [ "$$made" != "$$here" ]; then \
		echo ".venv was made in $${made:-another folder}, not in $$here: it is made anew"; rm -rf .venv; fi
	@[ -x .venv/bin/python ] || $(MAKE) --no-print-directory .venv/bin/python
	@echo "installing $(LOCK) into .venv (takes a minute or more, once)"
	@[ -z "$(WHEELS)" ] || [ -d "$(WHEELS)" ] || { echo "WHEELS: expected a folder with wheels, received $(WHEELS)" >&2; exit 1; }
	@# Where uv cannot be had, or cannot reach what pip can, pip does it, and says what is wrong.
	@{ $(PIP) --only-binary :all: -r requirements-uv.lock && $(UV) -r $(LOCK); } 2>/dev/null || \
		{ echo "uv could not install them: pip does, which takes longer"; $(PIP) -r $(LOCK); }
	@for folder in .venv/lib/python3*/site-packages; do echo ../../../../src > "$$folder/digit_vae.pth"; done
	@printf '%s\n' '#!/bin/sh' \
		'exec env PYTHONUTF8=1 "$$(dirname "$$(readlink -f "$$0")")/python" -m digit_vae "$$@"' > .venv/bin/digit-vae
	@chmod +x .venv/bin/digit-vae
	@[ -e .git ] || $(RUN) dvc config --quiet --local core.no_scm true  # downloaded as an archive
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || \
		{ echo "expected Python 3.11, 3.12 or 3.13, received: $$($(PYTHON) --version 2>&1); set PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@pwd -P > .venv/folder
