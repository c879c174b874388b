# make demo    trains a tiny vision-language model with CARE on this machine's CPU
# make test    checks and tests, those included that train through verl's own command line
# make proofs  kills, faults and cuts that take too long for every change
# make versions  the engine tests with each vLLM of docs/versions.md, in environments of their own
# make docs    the pages as a site, in site/index.html
# All set up .venv first; once is enough.

PYTHON ?= $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu
BIN := .venv/bin
STAMP := .venv/.installed

# OpenMP threads that spin while they wait take the cores from the other processes of a run.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test proofs versions check docs setup clean

demo: setup
	$(BIN)/care-verl demo $(ARGS)

# A run that trains takes all cores, so those tests come one after the other.
test: check
	$(BIN)/python -m pytest -m 'not e2e and not proof and not slow' -n auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -m 'slow and not e2e and not proof' -n auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -m 'e2e and not proof' --durations 15

proofs: setup
	$(BIN)/python -m pytest -m proof $(ARGS)

versions: setup
	$(BIN)/python -m tests.versions.run $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

setup: $(STAMP)

# CPU builds of torch and torchvision where PyTorch's index answers; else what pip finds by itself.
$(STAMP): setup.py
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v < (3, 13) or sys.exit( \
	    f"Python {v[0]}.{v[1]} found, 3.10 to 3.12 expected: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	index=$$($(BIN)/python -c 'import urllib.request as u; \
	    u.urlopen("$(TORCH_CPU_INDEX)/torch/", timeout=5)' 2>/dev/null && \
	    echo "--extra-index-url $(TORCH_CPU_INDEX)"); \
	$(BIN)/python -m pip install $$index -e '.[cpu,dev]'
	touch $(STAMP)

clean:
	rm -rf .venv outputs site build dist *.egg-info
