# Two commands matter: `make demo` and `make test`. Both build the environment first, in .venv, from requirements.lock.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
# Tests start many processes of Python. Each would compile the same files if none may write what it compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help env demo check test all-tests quick-tests test-cluster test-faults lint lock released methods databases tree docs bench store tracker clean

help:  ## Say what each target does and how long it takes
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 22

env: .venv/ready  ## Build the environment in .venv (one to three minutes, several GB of packages)

.venv/ready: requirements.lock pyproject.toml
	@echo "environment: installing into .venv, one to three minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps -e .
	@touch $@

demo: env  ## Run the main job on the synthetic database: three to six minutes on two cores, a rerun a few seconds
	@echo "demo: synthesizes 120 clips, prepares them, trains 12 folds; three to six minutes on two cores"
	$(BIN)/python jobs/loso.py

test: env  ## Lint, type check and run all tests: eight to eleven minutes on two cores
	@echo "test: lint, types, import contracts and all tests; eight to eleven minutes on two cores"
	$(MAKE) --no-print-directory -j 2 lint all-tests

check: env  ## Lint, type check and run the tests that are not marked slow: about two minutes
	@echo "check: lint, types, import contracts and quick tests; about two minutes on two cores"
	$(MAKE) --no-print-directory -j 2 lint quick-tests

# Beside the tests, lint and types cost no time of their own while a test waits. Many tests wait for a server or for Ray, so
# that three processes of tests keep two cores busy.
all-tests: env
	$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder --durations=15

quick-tests: env
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "not slow"

test-cluster: env  ## Hosts in network namespaces: ray up, jobs, locked doors, SLURM where it is installed; five minutes, fifteen with it (Linux, root)
	@echo "test-cluster: ray up on three hosts of this machine, jobs, sockets, secrets; five minutes on two cores, fifteen where SLURM is installed"
	$(BIN)/python -m pytest tests/cluster -o addopts="-q --strict-markers --strict-config"

test-faults: env  ## Break a small benchmark in every way and compare: about twenty-five minutes, half of them for three hosts (Linux, root)
	@echo "test-faults: killed workers, drivers, servers and hosts, damaged and full disks; about twenty-five minutes on two cores"
	@echo "             FAULTS='--rounds 4 --kills 20' breaks as often as docs/measurements.md says (an hour); FAULTS='-k disk' runs a part"
	$(BIN)/python -m pytest tests/faults -o addopts="-q --strict-markers --strict-config" -o timeout=3600 $(FAULTS)
	$(if $(FAULTS),,AMAN_FUZZ_TREES=2100 $(BIN)/python -m pytest -n 0 tests/test_check_database.py -k damaged_trees)

lint: env  ## Ruff, pyrefly and the import contracts: a quarter of a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check --output-format min-text --progress-bar no
	$(BIN)/lint-imports --no-cache

lock: env  ## Resolve requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile -q pyproject.toml --all-extras --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --upgrade -o requirements.lock

released: env  ## Take the code for the released one; of stages that changed: SAME="tim" keeps results, RAISED="tim" ends them
	$(BIN)/python -m aman.released --same "$(SAME)" --raised "$(RAISED)"

databases: env  ## Write docs/databases.md, the tables of all databases and protocols, from their code
	$(BIN)/python -m aman.database_table > docs/databases.md.part && mv docs/databases.md.part docs/databases.md

methods: env  ## Write docs/methods.md, the table of all methods, from their code
	$(BIN)/python -m aman.catalogue > docs/methods.md.part && mv docs/methods.md.part docs/methods.md

tree: env  ## Write docs/tree.md, every file with what it is, from the code
	$(BIN)/python docs/tree.py > docs/tree.md.part && mv docs/tree.md.part docs/tree.md

docs: env  ## Build the pages of docs/ into site/, with all links checked: half a minute
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: env  ## Build the wheel into dist/ (the base is small; docs/python.md has its extras)
	$(BIN)/uv build -q --wheel

bench: env  ## Print the speed comparisons: about five minutes on two cores
	$(BIN)/python bench/loso.py

store: env  ## Start a real S3 server on this machine (SeaweedFS, loopback); Ctrl-C stops it
	$(BIN)/python tests/seaweed.py

tracker: env  ## Start an MLflow server on this machine (loopback, password); Ctrl-C stops it
	$(BIN)/python -m cluster.machines.mlflow_server

clean:  ## Remove the environment and caches of tools; runs/ with its results stays
	rm -rf .venv build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
