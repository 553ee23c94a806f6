# Each target sets up .venv first; a second run starts at once.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
FIRMWARE_C := $(shell find firmware_host export -name '*.[ch]' 2>/dev/null)
# Work is spread over processes: two threads of one library each on two busy cores collapse.
export OMP_NUM_THREADS := 1
# Images of containers often set it; each process would then compile torch and all else anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test bench bench-training lint toolchain clean

help:
	@echo "make demo    the whole pipeline on the virtual pendulum"
	@echo "make test    the tests"
	@echo "make bench   cycles and bytes of the exported code, beside its peers"
	@echo "make bench-training  distillation's updates a second beside the plain update"
	@echo "make lint    style, types, direction of imports"
	@echo "make toolchain  compilers and emulators of the boards (Debian; asks for root)"
	@echo "make clean   remove the environment and the runs"

demo: $(READY)
	$(BIN)/sparsectl demo

# Each process begins with a stretch of its own, so that what a file makes once is made once.
test: $(READY)
	$(BIN)/pytest -n 3 --dist worksteal

# The table of cycles and bytes beside a plain C loop and emlearn, about ten minutes; into docs/results.md.
bench: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python benchmarks/marks.py
	$(BIN)/python benchmarks/tables.py

# Speed of the distillation's engine beside the plain update, and whether both learn the same.
bench-training: $(READY)
	$(BIN)/python benchmarks/training_speed.py --write
	$(BIN)/python benchmarks/training_curves.py --write

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror $(FIRMWARE_C)

# ccache is the tests' own: with it each object is compiled once.
toolchain:
	$(if $(filter 0,$(shell id -u)),,sudo )apt-get install --yes --no-install-recommends \
	    ccache $$(python3 -m sparsectl.firmware_host.tools)

# torch comes first: what depends on it must find the version that is wanted here. A new pip
# resolves in half the time, and bytecode of what is never imported need not be compiled.
$(READY): setup.cfg pyproject.toml constraints.txt
	python3 -m venv $(VENV) || { echo "python3 cannot make an environment: apt install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --no-compile --constraint constraints.txt torch
	$(BIN)/pip install --no-compile --constraint constraints.txt --editable '.[train,minari,live,convert,dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) runs
