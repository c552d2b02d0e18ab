# Two commands: `make lab` copies the lessons into lessons/ and opens the first, `make test` runs every check.
# Both make .venv on their first run, of the files whose hashes are in locks/, and do no set-up on the second.

LESSON := notebooks/01-start-here.ipynb
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip
# Errors only: what is happening is said in one line before.
QUIET  := --quiet --quiet

# The interpreter that makes .venv: the first one here that runs. Choose with `make lab PYTHON=python3.12`.
ifndef PYTHON
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c pass 2>/dev/null && echo $$python && break; done)
endif

# Another package index for PyTorch alone, for example a CUDA build's. Empty: a CPU build, wherever pip finds one.
TORCH_INDEX :=

# Threads that wait look for work for some microseconds and then sleep. Looking longer, they would take the time of the
# working ones on busy or few cores; asleep at once, small operations would wait for them to wake (5 times slower).
export GOMP_SPINCOUNT := 1000

# Files of tests run side by side, one for each core and at most four: each browser and each kernel takes memory. They
# begin in the order of their names, so that the lessons in the browser, the longest file, are not left for the end.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help lab dashboard demo site sitetest dist test lint unit coverage mutants rooms settings notebooks browser links bench graders clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

lab: $(VENV)/.ready-lab  ## open JupyterLab on the first lesson, in a copy of the lessons of your own, lessons/
	@$(BIN)/shira-lab lab lessons

# A page ends its kernel when it goes. One that was left before it was drawn cannot: ten minutes without a page end it.
dashboard: $(VENV)/.ready-dashboard  ## show all apps on one page, for a lecture
	@echo "The dashboard opens in your browser. Where none opens, copy the address below. Stop with Ctrl-C."
	@JUPYTER_PATH=dashboard $(BIN)/voila dashboard/lecture.ipynb --template=offline --Voila.ip=127.0.0.1 --KernelManager.transport_encryption=auto \
		--MappingKernelManager.cull_idle_timeout=600 --MappingKernelManager.cull_interval=60

demo: $(VENV)/.ready-demo  ## run the first lesson and write it to one file, build/demo.html
	@$(BIN)/python scripts/demo.py $(LESSON) build/demo.html

site: $(VENV)/.ready-docs  ## write the lessons, the API and the docs as pages, build/site/, that need no server and no network
	@$(BIN)/python scripts/make_site.py build/site

sitetest: site $(VENV)/.ready-test  ## open every page of the site in Chromium, without a network (in no other call)
	@$(BIN)/python -m pytest website

dist: $(VENV)/.ready-release  ## build the sdist, the wheel and a list of what they need, twice, and compare the bytes
	@$(BIN)/python scripts/make_dist.py dist

test: $(VENV)/.ready-test  ## run every check: style, types, tests, lessons, browser
	@failed=; \
	$(MAKE) --no-print-directory lint || failed="lint "; \
	$(PYTEST) --nbval --nbval-current-env || failed="$${failed}pytest"; \
	test -z "$$failed" || { echo "failed: $$failed" >&2; exit 1; }

lint: $(VENV)/.ready-test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(VENV)/.ready-test  ## tests that need no browser
	$(PYTEST) tests -m "not browser"

coverage: $(VENV)/.ready-test  ## share of the lines and branches that the tests without a browser run
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest tests -m "not browser"
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

mutants: $(VENV)/.ready-test  ## put mistakes into the source and see that tests fail (an hour)
	$(BIN)/python scripts/mutants.py

rooms: $(VENV)/.ready-test  ## draw the rooms of the package and count what there is to read
	$(BIN)/python scripts/rooms.py

links: $(VENV)/.ready-test  ## write the links that need the repository's address
	$(BIN)/python scripts/links.py

settings: $(VENV)/.ready-test  ## write the table of training settings into docs/settings.md
	$(BIN)/python scripts/settings_page.py

notebooks: $(VENV)/.ready-test  ## run every lesson and compare what it prints with what is stored
	$(PYTEST) notebooks --nbval --nbval-current-env

browser: $(VENV)/.ready-test  ## tests in a real Chromium
	$(PYTEST) tests -m browser

bench: $(VENV)/.ready-test  ## measure every cost beside its target
	$(BIN)/python -m benchmarks

# In an environment of its own: the tools bring packages that nothing else here needs.
graders:  ## mark right and wrong answers to every exercise with nbgrader and Otter-Grader (an hour)
	@$(MAKE) --no-print-directory VENV=build/graders build/graders/.ready-graders
	@build/graders/bin/python scripts/graders.py

clean:  ## remove everything that make made, .venv too
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --- the environment -------------------------------------------------------------------------------------------------

# Every file that is downloaded has the hash that locks/ has for it; scripts/lock.py writes them.
$(VENV)/.ready-%: pyproject.toml locks/lab.txt locks/%.txt | $(VENV)/.torch
	@echo "Installing shira-lab and what it needs (about a minute on a fast line) ..."
	@$(PIP) install $(QUIET) --no-deps --require-hashes $(addprefix --requirement ,$(sort locks/lab.txt locks/$*.txt))
	@$(PIP) install $(QUIET) --no-deps --no-build-isolation --editable .
	@$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" 2>/dev/null
	@touch $@

$(VENV)/.torch: constraints.txt | $(BIN)/python
	@echo "Installing PyTorch for the CPU (a download of about 200 MB) ..."
	@options="$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX),$$($(BIN)/python scripts/torch_source.py))" && \
		$(PIP) install $(QUIET) --constraint constraints.txt $$options torch
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python was found: install Python 3.11 or newer, or name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) scripts/preflight.py
	@echo "Making $(VENV) with $(PYTHON) ..."
	@$(PYTHON) -m venv $(VENV)
