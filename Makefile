# make demo | test | test-cluster | board | bench | chaos      Needs Python 3.11 to 3.13 and make; everything else goes into .venv.

PYTHON ?= python3
BIN := $(CURDIR)/.venv/bin
export PATH := $(BIN):$(PATH)
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: setup demo test test-cluster check board bench chaos lock

setup: .venv/ready

# Compiled here, once: with PYTHONDONTWRITEBYTECODE, as images often have it, each command would compile torch anew.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("Python %d.%d: ablate needs 3.11 to 3.13; type: make PYTHON=python3.12" % v)'
	@echo "setting up .venv"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	python train.py -m optimizer.nesterov=true,false

test: setup
	ruff check .
	ruff format --check .
	mypy
	pytest -n 2

check: test

# Sweeps on a real SLURM of one node, which lives in a temporary folder: three minutes. Installs Debian's packages.
test-cluster: setup
	tests/cluster/install.sh
	pytest -m cluster tests/cluster

board: setup
	python -m ablate board outputs

# Kills a small sweep two hundred times and resumes it, with and without loader processes: half an hour.
chaos: setup
	OMP_NUM_THREADS=1 python tests/chaos/harness.py --kills 150
	OMP_NUM_THREADS=1 python tests/chaos/harness.py --kills 50 --seed 1000 --workers 2

bench: setup
	python benchmarks/bench.py

# After a change of the dependencies: pins every version for Python 3.11 to 3.13 (holds no index addresses).
lock: setup
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url --no-annotate --no-header --upgrade --output-file constraints.txt pyproject.toml
