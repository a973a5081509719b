PYTHON ?= python3
PORT ?= 5000

SHELL := bash
python := .venv/bin/python
ready := .venv/set-up # when the last set-up ended
store := outputs/mlflow.db
# A process per core, each with the tests of some files.
tests := OMP_NUM_THREADS=1 $(python) -m pytest -n auto --dist loadfile --no-loadscope-reorder

.PHONY: help setup run test test-all ray check table docs bench gpu ui

help:
	@echo "make setup   create .venv and install into it what constraints.txt pins; the others do this where needed"
	@echo "make run     compare four losses on generated data: python -m nersweep experiment=quickstart"
	@echo "make test    run all tests but those of sweeps over several processes, which take minutes"
	@echo "make test-all run those too: joblib, submitit, PostgreSQL where it is installed, Ray where make ray was"
	@echo "make check   ruff's lint and format, then make test"
	@echo "make bench   measure the train loop, sweeps, growth and losses; DATA=DIR holds CoNLL-2003 (nothing else should run beside it)"
	@echo "make gpu     check the train loop on this machine's GPU and time it, into build/gpu.json; DATA=DIR as above, or generated data"
	@echo "make table   the tables and pictures of docs/results.md, from the runs that are kept there; no training"
	@echo "make docs    write docs/losses.md, the catalogue of the losses, and its pictures"
	@echo "make ray     create .venv-ray, an environment with Ray, whose launcher needs other versions: docs/scale.md"
	@echo "make ui      open the MLflow UI over $(store) at http://127.0.0.1:$(PORT) (PORT=5001 for another port)"
	@echo "PYTHON=python3.12 chooses the interpreter of a new .venv: 3.11 or later, now $(PYTHON)"

setup: $(ready)

# What pip builds on the way is built with pinned versions too: older pips take them from PIP_CONSTRAINT, newer ones
# from PIP_BUILD_CONSTRAINT. Of pip's hundreds of lines, one in 20 packages is enough.
$(ready): pyproject.toml constraints.txt
	@test -x .venv/bin/pip || { $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && \
		$(PYTHON) -m venv .venv; } || { echo "no .venv made: needs Python 3.11 or later with venv, and $(PYTHON) is" \
		"$$($(PYTHON) --version 2>/dev/null || echo missing); type make PYTHON=python3.12, or where yours is" >&2; exit 1; }
	@echo "installing $$(grep -c == constraints.txt) packages into .venv, which takes some minutes"
	@set -o pipefail; export PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt; \
		$(python) -m pip install --disable-pip-version-check --progress-bar off -e '.[dev,offline]' | \
		awk '/^(Collecting|Processing|Requirement already)/ && ++n % 20 == 0 {print "  found " n}; \
			/^Installing collected/ {print "  writing them"}; {fflush()}'
	@touch $@

run: $(ready)
	$(python) -m nersweep experiment=quickstart

test: $(ready)
	$(tests) -m "not engine"

test-all: $(ready)
	NERSWEEP_STORES=20 $(python) -m pytest -rs
	@test ! -f .venv-ray/set-up || .venv-ray/bin/python -m pytest -rs tests/engines/test_ray.py

check: $(ready)
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(tests) -m "not engine"

# The launcher for Ray holds cloudpickle below 3, and with it joblib below 1.6: these pins give way to its own.
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
	$(python) -m nersweep.report.catalogue

bench: $(ready)
	@test -n "$(DATA)" || { echo "type make bench DATA=DIR, where DIR holds train.txt, valid.txt, test.txt of CoNLL-2003" >&2; exit 1; }
	$(python) benchmarks/speed.py --data $(DATA)
	$(python) benchmarks/sweep.py --data $(DATA) --alone
	OMP_NUM_THREADS=1 $(python) benchmarks/growth.py
	OMP_NUM_THREADS=1 $(python) benchmarks/machinery.py
	$(python) benchmarks/losses.py

gpu: $(ready)
	$(python) benchmarks/gpu.py pack build/gpu $(if $(DATA),--data $(DATA))
	$(python) benchmarks/gpu.py run build/gpu --out build/gpu.json

# Without job execution MLflow starts one process, not nine; without lifespan it leaves Docker alone, which nothing here
# uses, and Ctrl-C prints no traceback.
ui: $(ready)
	@test -f $(store) || { echo "nothing to show yet: no $(store); type make run first" >&2; exit 1; }
	@echo "MLflow UI: http://127.0.0.1:$(PORT)/#/experiments/1/runs?viewStateShareKey=f1 (Ctrl-C ends it)"
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false PYTHONWARNINGS=ignore \
		$(python) -m mlflow ui --host 127.0.0.1 --port $(PORT) --workers 1 --uvicorn-opts "--lifespan off" \
		--backend-store-uri sqlite:///$(store)
