# From a clean clone: make demo, make test, make check, make bench. Each sets up .venv when it is
# missing or when what it is made of has changed. Another Python: make PYTHON=python3.12 ...

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check --no-input
# Experiments, which take long and say more than a table of times, are asked for by name.
EXPERIMENTS := ablation ablation_page crf_search trials
ALL := $(patsubst %.py,%,$(notdir $(wildcard benchmarks/[a-z]*.py)))
BENCHMARKS := $(filter-out $(EXPERIMENTS),$(ALL))

# python3 first: it is the one a machine's owner expects. A name is tried by running it, since
# a version manager leaves names on the path that do not start.
FITS := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python3.10; do \
	"$$name" -c '$(FITS)' 2>/dev/null && { echo "$$name"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help demo test check bench ablation crf-search fuzz tools clean

# What writes the test's hospital data, by other hands than ours, and reads it back, and what reads and
# shows our results: tool:package, or file:package.
TOOLS := dcmcjpeg:dcmtk gdcmconv:libgdcm-tools dcm2niix:dcm2niix ojph_compress:openjph-tools \
	dciodvfy:dicom3tools Orthanc:orthanc chromium:chromium \
	/usr/share/orthanc/plugins/libOrthancDicomWeb.so:orthanc-dicomweb

help:
	@echo "make demo   segment a real CT that anyone can fetch; say where the report is"
	@echo "make test   run the tests"
	@echo "make check  ruff and mypy"
	@echo "make fuzz   read 10,000 damaged files; ARGS='--count N --seed S' for more or fewer"
	@echo "make ablation  train without and with deep supervision, score without and with the CRF"
	@echo "make crf-search  search the CRF's parameters on held-out scans, ARGS='--networks CV'"
	@echo "make bench  print the tables of measurements"
	@echo "make clean  remove $(VENV) and the caches of the tools"

demo: $(STAMP)
	$(BIN)/liverseg demo $(ARGS)

test: $(STAMP) tools
	$(BIN)/python -m pytest -q $(ARGS)

# ARGS='--epochs N --folds 0 1' for what two cores allow; --schedule paper with a large GPU.
ablation: $(STAMP)
	$(BIN)/python -m benchmarks.ablation $(ARGS)

crf-search: $(STAMP)
	$(BIN)/python -m benchmarks.crf_search $(ARGS)

fuzz: $(STAMP) tools
	$(BIN)/python tests/fuzz.py $(ARGS)

# The tests never skip what needs them: they are installed, or named.
tools:
	@missing=$$(for pair in $(TOOLS); do \
		command -v "$${pair%%:*}" >/dev/null || test -e "$${pair%%:*}" || \
			printf ' %s' "$${pair##*:}"; done); \
	test -z "$$missing" && exit 0; \
	as_root=$$(test "$$(id -u)" = 0 || echo "sudo -n"); \
	install="$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y"; \
	install="$$install --no-install-recommends$$missing"; \
	echo "installing$$missing"; \
	{ $$install || { $$as_root apt-get -qq update && $$install; }; } >/dev/null 2>&1 || { \
		echo "the tests need tools that are missing: apt-get install$$missing" >&2; exit 1; }

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(BENCH_STAMP) tools
	@test -n "$(BENCHMARKS)" || echo "there is no benchmark yet"
	@set -e; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(ARGS); done

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@"$(PYTHON)" -c '$(FITS)' 2>/dev/null || { \
		echo "a Python from 3.10 to 3.13 is wanted; found: $$( \
			"$(or $(PYTHON),python3)" --version 2>/dev/null || echo none)" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments: apt-get install python3-venv" >&2; \
		exit 1; }
	@echo "setting up $(VENV) with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

# What our readers are measured against, which nothing else needs.
$(BENCH_STAMP): $(STAMP)
	@$(PIP) install --constraint constraints.txt --editable '.[dev,bench]'
	@touch $@
