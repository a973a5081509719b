PYTHON ?= python3
PORT ?= 5000

SHELL := bash
python := .venv/bin/python
ready := .venv/set-up # touched when the setup has finished
store := outputs/mlflow.db
# Processes that tests start need the compiled package, or each compiles it again.
pytest := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(python) -m pytest
# One process per core; one that has no tests left takes half of another's.
parallel := -n auto --dist worksteal
# Pure functions: no Hydra, no MLflow, no training.
quick := tests/losses tests/evaluation tests/test_labels.py tests/test_weights.py tests/diagnosis/test_imbalance.py \
	--ignore=tests/losses/test_trainer.py --ignore=tests/losses/test_importing.py

.PHONY: help setup run quick test test-all ray check table docs bench gpu ui

help:
	@echo "make setup     create .venv and install what constraints.txt pins; the other targets do this if needed"
	@echo "make run       compare four losses on generated data: python -m nersweep experiment=quickstart, two runs at a time"
	@echo "make quick     test the pure functions"
	@echo "make test      run the tests except whole sweeps, studies and engines"
	@echo "make test-all  run all tests: joblib, submitit, PostgreSQL if installed, browsers, Ray after make ray"
	@echo "make check     lint, check the format and the types, then run make test"
	@echo "make bench     measure the train loop, its engine, sweeps, growth and losses; DATA=DIR holds CoNLL-2003"
	@echo "make gpu       check the train loop on this machine's GPU and time it; writes build/gpu.json"
	@echo "make table     rebuild the tables and figures of docs/results.md from the archived runs"
	@echo "make docs      write docs/losses.md, the catalogue of losses, and its figures"
	@echo "make ray       create .venv-ray, an environment with Ray, which needs other versions: docs/scale.md"
	@echo "make ui        open the MLflow UI of $(store) at http://127.0.0.1:$(PORT) (PORT=5001 for another port)"
	@echo "PYTHON=python3.12 selects the interpreter of a new .venv: 3.11 or later, now $(PYTHON)"

setup: $(ready)

# Build dependencies are pinned too: older pips read PIP_CONSTRAINT for them, newer ones PIP_BUILD_CONSTRAINT.
# Of pip's hundreds of lines, one in 20 packages is enough.
$(ready): pyproject.toml constraints.txt
	@test -x .venv/bin/pip || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
		$(PYTHON) -m venv .venv; } || { echo "could not create .venv: Python 3.11 or later with venv is needed, and" \
		"$(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo missing); use make PYTHON=python3.12" >&2; exit 1; }
	@echo "installing $$(grep -c == constraints.txt) packages into .venv; this takes a few minutes"
	@set -o pipefail; export PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt; \
		$(python) -m pip install --disable-pip-version-check --progress-bar off -e '.[dev,offline]' | \
		awk '/^(Collecting|Processing|Requirement already)/ && ++n % 20 == 0 {print "  collected " n}; \
			/^Installing collected/ {print "  installing"}; {fflush()}'
	@touch $@

run: $(ready)
	$(python) -m nersweep experiment=quickstart hydra/launcher=joblib hydra.launcher.n_jobs=2

quick: $(ready)
	$(pytest) $(quick)

test: $(ready)
	$(pytest) $(parallel) -m "not engine and not slow"

test-all: $(ready)
	NERSWEEP_STORES=20 $(python) -m pytest -rs
	@test ! -f .venv-ray/set-up || .venv-ray/bin/python -m pytest -rs tests/engines/test_ray.py

check: $(ready)
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy
	$(pytest) $(parallel) -m "not engine and not slow"

# The Ray launcher requires cloudpickle below 3, and thereby joblib below 1.6: these pins make way for its own.
ray: .venv-ray/set-up

.venv-ray/set-up: pyproject.toml constraints.txt constraints-ray.txt
	test -x .venv-ray/bin/pip || $(PYTHON) -m venv .venv-ray
	grep -vE '^(cloudpickle|joblib)==' constraints.txt | cat - constraints-ray.txt > .venv-ray/constraints.txt
	PIP_CONSTRAINT=.venv-ray/constraints.txt PIP_BUILD_CONSTRAINT=.venv-ray/constraints.txt \
		.venv-ray/bin/pip install --disable-pip-version-check --progress-bar off --quiet -e '.[dev,offline,ray]'
	@touch $@

table: $(ready)
	$(python) -m nersweep.report archive=docs/results/conll2003_table.jsonl folder=docs/results/conll2003_table

docs: $(ready)
	PYTHONPATH=docs $(python) -m loss_catalogue

bench: $(ready)
	@test -n "$(DATA)" || { echo "set DATA=DIR, a folder with train.txt, valid.txt and test.txt of CoNLL-2003" >&2; exit 1; }
	$(python) benchmarks/speed.py --data $(DATA)
	$(python) benchmarks/sweep.py --data $(DATA) --alone
	OMP_NUM_THREADS=1 $(python) benchmarks/engine.py --data $(DATA)
	OMP_NUM_THREADS=1 $(python) benchmarks/growth.py
	OMP_NUM_THREADS=1 $(python) benchmarks/machinery.py
	$(python) benchmarks/losses.py

gpu: $(ready)
	$(python) benchmarks/gpu.py pack build/gpu $(if $(DATA),--data $(DATA))
	$(python) benchmarks/gpu.py run build/gpu --out build/gpu.json

# Without job execution MLflow starts one process instead of nine; without lifespan Ctrl-C prints no traceback.
ui: $(ready)
	@test -f $(store) || { echo "nothing to show yet: $(store) does not exist; run make run first" >&2; exit 1; }
	@echo "MLflow UI: http://127.0.0.1:$(PORT)/#/experiments/1/runs?viewStateShareKey=f1 (Ctrl-C stops it)"
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false PYTHONWARNINGS=ignore \
		$(python) -m mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --uvicorn-opts "--lifespan off" \
		--backend-store-uri sqlite:///$(store)
