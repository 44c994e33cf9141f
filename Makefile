# make demo and make test need only Python 3.11 or newer and make; everything else goes into .venv.
# PYTHON=… chooses the interpreter, NEW=1 makes the environment anew.

VENV ?= .venv
VENV15 ?= .venv-duckdb15
VENVLOWEST ?= .venv-lowest
VENVSPARK ?= .venv-spark
VENVFUZZ ?= .venv-fuzz
VENVBENCH ?= .venv-bench
VENVDUCKLAKE ?= .venv-ducklake
FUZZ_SECONDS ?= 3600
SOAK_SECONDS ?= 900
BIN = $(VENV)/bin
ARGS ?=
# Each process has a Postgres of its own; a file's tests stay in one.
PARALLEL ?= -n auto --maxprocesses 8 --dist loadfile

.PHONY: help demo test test-duckdb15 test-lowest test-spark fuzz fuzz-parquet crash soak lint types check docs \
	bench bench-peers bench-codec bench-migrate bench-upkeep build clean

help:
	@echo 'make demo            install, save the shipped results, ask SQL across them, get one back byte for byte'
	@echo 'make test            install and run every test      (ARGS="-k name" is handed to pytest)'
	@echo 'make test-duckdb15   the same tests with duckdb 1.5'
	@echo 'make test-lowest     the same tests with the lowest versions that lakestore asks for'
	@echo 'make test-spark      Spark reads the data files of a lake as SQL shows them (needs Java)'
	@echo 'make fuzz            fuzz the codec for an hour        (FUZZ_SECONDS=60: a minute)'
	@echo 'make fuzz-parquet    10,000 damaged data files; the table goes to docs/reliability.md'
	@echo 'make crash           fail or kill every job at each of its operations; the table goes to docs/reliability.md'
	@echo 'make soak            crowds, kills and a state machine for a quarter of an hour  (SOAK_SECONDS=60: a minute)'
	@echo 'make lint types      ruff, mypy                      make check: these and the tests'
	@echo 'make docs            write docs/cli.md from the help texts'
	@echo 'make bench-codec     sizes and speeds of the codec, beside what must be reached (ARGS=--quick; "--data FOLDER": your documents too)'
	@echo 'make bench-migrate   speed of migrate, files by the hundred and the thousand (ARGS=--quick)'
	@echo 'make bench-upkeep    sizes after compaction, time of a rebuild (ARGS="--rebuild 100000")'
	@echo 'make bench           what lakestore costs beside the floor, in two minutes        make bench-peers: and others'
	@echo 'make build           sdist and wheel into dist/'
	@echo 'make clean           remove what make made'

demo: $(VENV)/.stamp
	@$(BIN)/python examples/demo.py .demo/lake

test: $(VENV)/.stamp
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-duckdb15: $(VENV15)/.stamp
	$(VENV15)/bin/python -m pytest $(PARALLEL) $(ARGS)

test-lowest: $(VENVLOWEST)/.stamp
	$(VENVLOWEST)/bin/python -m pytest $(PARALLEL) $(ARGS)

test-spark: $(VENVSPARK)/.stamp
	$(VENVSPARK)/bin/python -m pytest tests/integration/test_other_tools.py $(ARGS)

fuzz: $(VENVFUZZ)/.stamp
	$(VENVFUZZ)/bin/python -m tests.fuzz.fuzz_codec --seconds $(FUZZ_SECONDS) --work build/fuzz $(ARGS)

fuzz-parquet: $(VENV)/.stamp
	$(BIN)/python -m tests.fuzz.fuzz_parquet --report docs/reliability.md $(ARGS)

crash: $(VENV)/.stamp
	$(BIN)/python -m tests.crash --report docs/reliability.md $(ARGS)

soak: $(VENV)/.stamp
	$(BIN)/python -m tests.soak --seconds $(SOAK_SECONDS) --report docs/reliability.md $(ARGS)

lint: $(VENV)/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.stamp
	$(BIN)/mypy

check: lint types test

docs: $(VENV)/.stamp
	$(BIN)/python docs/make_cli.py

bench-codec: $(VENV)/.stamp
	$(BIN)/python -m bench.codec $(ARGS)

bench-migrate: $(VENV)/.stamp
	$(BIN)/python -m bench.migrate $(ARGS)

bench-upkeep: $(VENV)/.stamp
	$(BIN)/python -m bench.upkeep $(ARGS)

bench: $(VENV)/.stamp
	$(BIN)/python -m bench run --quick --no-peers --output build/bench $(ARGS)

# Peers in an environment of their own; DuckLake's extensions need a DuckDB of their release, in another one.
bench-peers: $(VENVBENCH)/.stamp $(VENVDUCKLAKE)/.stamp
	LAKESTORE_BENCH_DUCKLAKE=$(VENVDUCKLAKE)/bin/python $(VENVBENCH)/bin/python -m bench run $(ARGS)
	$(VENVBENCH)/bin/python -m bench report

build: $(VENV)/.stamp
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build --outdir dist .

# An environment is made once, and again when what it is made from changed.
$(VENV)/.stamp: pyproject.toml .ci/venv
	@sh .ci/venv $(VENV) -e '.[dev]'

$(VENV15)/.stamp: pyproject.toml .ci/venv
	@sh .ci/venv $(VENV15) -e '.[test]' 'duckdb==1.5.*'

$(VENVLOWEST)/.stamp: pyproject.toml .ci/venv .ci/lowest.txt
	@sh .ci/venv $(VENVLOWEST) -e '.[test]' -c .ci/lowest.txt

$(VENVSPARK)/.stamp: pyproject.toml .ci/venv
	@sh .ci/venv $(VENVSPARK) -e '.[test]' pyspark

$(VENVBENCH)/.stamp: pyproject.toml .ci/venv
	@sh .ci/venv $(VENVBENCH) -e '.[bench]'

$(VENVDUCKLAKE)/.stamp: .ci/venv
	@sh .ci/venv $(VENVDUCKLAKE) 'duckdb==1.5.5' 'duckdb-extension-ducklake==1.5.5' \
		'duckdb-extension-postgres-scanner==1.5.5' pyarrow

# atheris has wheels for some Pythons only; without it the fuzzer changes documents unguided.
$(VENVFUZZ)/.stamp: pyproject.toml .ci/venv
	@sh .ci/venv $(VENVFUZZ) -e '.[test]'
	@$(VENVFUZZ)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: atheris \
		|| echo 'no atheris for this Python: fuzzing without it' >&2

clean:
	rm -rf $(VENV) $(VENV15) $(VENVLOWEST) $(VENVSPARK) $(VENVFUZZ) $(VENVBENCH) $(VENVDUCKLAKE) .demo dist build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
