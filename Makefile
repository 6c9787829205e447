# Every target works on a fresh machine with Python 3.11 or newer and repeats without reinstalling.
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
# What make test-wheel runs: paths below the root of the sdist.
WHEEL_TESTS ?= tests/test_package.py tests/test_detector.py tests/test_sklearn.py tests/test_typing.py \
	tests/io/test_save_scores.py tests/cli/test_cli_commands.py
# The extra whose CUDA version matches the driver (nvidia-smi shows it): gpu-cuda12 or gpu-cuda13.
GPU_EXTRA ?= gpu-cuda12
# A file of versions to install: make demo CONSTRAINTS=constraints/demo.txt
CONSTRAINTS ?=
BIN := $(VENV)/bin

.PHONY: demo constraints test docs fuzz test-kernels test-oldest test-gpu lint format bench bench-gpu \
	package test-wheel clean

# Other constraints than last time are a reason to install; none is not.
ifneq ($(CONSTRAINTS),)
ifneq ($(CONSTRAINTS),$(shell cat $(VENV)/.constraints 2>/dev/null))
.PHONY: $(VENV)/.installed
endif
endif

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[fast,plot,cli,test,dev]" \
		$(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
	echo "$(CONSTRAINTS)" > $(VENV)/.constraints
	touch $@

$(OLDEST)/.installed: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test]" \
		"scikit-learn==1.6.*" "numpy==2.0.*" "scipy==1.13.*" "pandas==2.2.*" \
		"joblib==1.3.*" "threadpoolctl==3.5.*" "pytest==8.2.*"
	touch $@

# Two CuPy packages in one environment shadow each other: the other one goes.
$(VENV)/.installed-$(GPU_EXTRA): $(VENV)/.installed
	rm -f $(VENV)/.installed-gpu-*
	$(BIN)/python -m pip uninstall --quiet --disable-pip-version-check --yes \
		cupy-cuda12x cupy-cuda13x 2>/dev/null
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(GPU_EXTRA)]"
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

demo: $(VENV)/.installed
	$(BIN)/skweiper demo

# The newest versions that the demo runs on today, or those of CONSTRAINTS, in constraints/demo.txt.
constraints:
	$(PYTHON) -m venv --clear build/constraints
	build/constraints/bin/python -m pip install --quiet --disable-pip-version-check \
		".[fast,plot,cli]" $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS))
	build/constraints/bin/skweiper demo --plot build/constraints/scores.png
	echo "# Written by make constraints: versions that skweiper demo ran on." > constraints/demo.txt
	build/constraints/bin/python -m pip freeze --disable-pip-version-check --exclude skweiper \
		>> constraints/demo.txt

test: $(VENV)/.installed
	$(BIN)/python -m pytest --numprocesses=auto --dist=loadscope

# The site, in build/site, and a look at its links and pages. SPHINX_OPTIONS="-D plot_gallery=0" leaves
# the gallery's examples unrun.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -q -W --keep-going $(SPHINX_OPTIONS) docs build/site
	$(BIN)/python -m pytest -q tests/test_site.py

# The attack of tests/fuzz with fresh draws; what it finds is kept in .hypothesis and tried first the
# next time. FUZZ_EXAMPLES says how many examples each test takes.
fuzz: $(VENV)/.installed
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest --numprocesses=auto --dist=load tests/fuzz

# One process per BLAS kernel that this processor can run, and one for numba's generic target;
# KERNELS=--short takes fewer of them and fewer tests.
test-kernels: $(VENV)/.installed
	$(BIN)/python -m tests.kernels $(KERNELS)

# SELECT is an expression of pytest's -k.
test-oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest --numprocesses=auto --dist=loadscope $(if $(SELECT),-k "$(SELECT)")

test-gpu: $(VENV)/.installed-$(GPU_EXTRA)
	$(BIN)/python -m pytest -m gpu

bench-gpu: $(VENV)/.installed-$(GPU_EXTRA)
	$(BIN)/python benchmarks/bench_gpu.py

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/bench_cpu.py
	$(BIN)/python benchmarks/bench_latency.py
	$(BIN)/python benchmarks/bench_kernels.py
	$(BIN)/python benchmarks/bench_memory.py
	$(BIN)/python benchmarks/bench_files.py --rows 100000
	$(BIN)/python benchmarks/bench_cli.py --rows 100000
	$(BIN)/python benchmarks/bench_sweep.py
	$(BIN)/python benchmarks/bench_detectors.py --seeds 3
	$(BIN)/python benchmarks/bench_costs.py

# Wheel and sdist in dist/, then once more from the sdist, elsewhere and under another umask: the same
# bytes, or the build depends on more than the source.
package: $(VENV)/.installed
	rm -rf dist build/again
	$(BIN)/python -m build --outdir dist
	mkdir -p build/again
	tar --extract --gzip --file dist/*.tar.gz --directory build/again --strip-components=1
	umask 077 && cd build/again && $(abspath $(BIN))/python -m build --outdir built
	diff --recursive dist build/again/built
	$(BIN)/twine check --strict dist/*
	cd dist && sha256sum *

# The wheel in a fresh environment, and the tests of the sdist without the package beside them.
# PYTHON chooses the interpreter, WHEEL_TESTS the tests.
test-wheel: package
	sh tests/wheel.sh "$(PYTHON)" "$(WHEEL_TESTS)"

clean:
	rm -rf $(VENV) $(OLDEST) build dist demo docs/_generated docs/api docs/gallery .hypothesis .pytest_cache .ruff_cache .mypy_cache benchmarks/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
