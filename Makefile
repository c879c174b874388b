# Two commands: `make demo` and `make test`. Both set up .venv first; once is enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

.PHONY: demo test check setup clean

demo: setup
	$(BIN)/care-verl demo $(ARGS)

test: check
	$(BIN)/python -m pytest $(ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(STAMP)

# CPU builds of torch and torchvision where PyTorch's index answers; else what pip finds by itself.
$(STAMP): setup.py
	$(PYTHON) -m venv .venv
	index=$$($(PYTHON) -c 'import urllib.request as u; u.urlopen("$(TORCH_CPU_INDEX)/torch/", timeout=5)' \
		2>/dev/null && echo "--extra-index-url $(TORCH_CPU_INDEX)"); \
	$(BIN)/python -m pip install --quiet --upgrade pip && \
	$(BIN)/python -m pip install --quiet $$index \
		$${index:+torchvision==0.28.0+cpu} -e '.[cpu,dev]'
	touch $(STAMP)

clean:
	rm -rf .venv outputs build dist *.egg-info
