# make demo   trains a tiny vision-language model with CARE on this machine's CPU
# make test   checks and tests, those included that train through verl's own command line
# Both set up .venv first, with CPU builds; neither needs a GPU.

PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

# OpenMP threads that spin while they wait take the cores from the other processes of a run.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test setup clean

demo: $(STAMP)
	$(BIN)/care-verl demo $(ARGS)

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest $(ARGS)

setup: $(STAMP)

$(STAMP): setup.py
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v < (3, 13) \
	    else f"Python {v[0]}.{v[1]} found, 3.10 to 3.12 expected: make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	index=$$($(BIN)/python -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1] + "/torch/", \
	    timeout=5); print(sys.argv[1])' $(TORCH_CPU_INDEX) 2>/dev/null) || index=; \
	$(BIN)/python -m pip install $${index:+--extra-index-url $$index} -e '.[cpu,dev]'
	touch $@

clean:
	rm -rf $(VENV) outputs build *.egg-info
