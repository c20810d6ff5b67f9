# Everything a newcomer needs: `make demo` and `make test` each set up what they use.
# VENV may point elsewhere, CORES is how many jobs run at once. ON=slurm runs a study on a cluster (docs/slurm.md).
VENV   ?= .venv
CORES  ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2)
PYTHON ?= python3
RUN    := $(VENV)/bin/
WHERE := $(if $(ON),--workflow-profile workflow/profiles/$(ON),--cores $(CORES))
SNAKEMAKE := PATH="$(abspath $(VENV))/bin:$$PATH" $(RUN)snakemake $(WHERE)
READY  := $(VENV)/.ready

# libraries that check ours and do not install beside it (tests/oracles)
ORACLES := gradcam_library quantus_library pysaliency_library

.PHONY: demo test test-faults test-scale test-slurm reliability lint open_cxr mnist pets planted_truth benchmarks docs methods \
        oracles lock audit clean
.DEFAULT_GOAL := demo

# data/<name> becomes a link to a folder of the real data, for each name=folder
LINK := $(RUN)python -c "import os, pathlib, sys; \
	  root = pathlib.Path(os.environ.get('SIGHTLINE_REAL_DATA', '../shared/real')).resolve(); \
	  root.is_dir() or exit(f'{root}: no such folder; set SIGHTLINE_REAL_DATA'); \
	  pathlib.Path('data').mkdir(exist_ok=True); \
	  [(link.unlink() if link.is_symlink() else None, link.symlink_to(root / folder)) for link, folder in \
	   ((pathlib.Path('data') / name, folder) for name, folder in (pair.split('=') for pair in sys.argv[1:]))]"

demo: $(READY)          ## the demo study: a phantom, from raw files to results/demo/report.html
	$(SNAKEMAKE)
	@echo "Read results/demo/report.html"

test: $(READY) lint     ## lint, the unit tests and small studies; the three below hold what takes longer
	OMP_NUM_THREADS=1 $(RUN)python -m pytest -n $(CORES) --dist loadgroup

test-faults: $(READY)   ## a small study through every fault of docs/reliability.md but SLURM's
	OMP_NUM_THREADS=1 $(RUN)python -m pytest tests/faults -n $(CORES) --dist loadgroup

reliability: $(READY)   ## the faults, SLURM's where it is installed, and the table of docs/reliability.md from what was measured
	rm -rf build/faults
	SIGHTLINE_FAULT_RECORDS="$(abspath build/faults)" OMP_NUM_THREADS=1 $(RUN)python -m pytest tests/faults -n $(CORES) --dist loadgroup
	if test -f tests/slurm/test_faults.py; then SIGHTLINE_FAULT_RECORDS="$(abspath build/faults)" OMP_NUM_THREADS=1 \
	  $(RUN)python -m pytest tests/slurm/test_faults.py -n 0; fi
	$(RUN)python -m tests.faults.table build/faults

test-scale: $(READY)    ## full-size tables, and thousands of films with broken ones among them
	OMP_NUM_THREADS=1 $(RUN)python -m pytest tests/scale -n $(CORES) --dist loadgroup

test-slurm: $(READY)    ## a small study and its faults on a SLURM that the test starts (one process: one SLURM)
	OMP_NUM_THREADS=1 $(RUN)python -m pytest tests/slurm -n 0

audit: $(READY)         ## known vulnerabilities of what the lock pins, where a database of them is reachable
	$(RUN)python -m tests.audit .tools/bin/uv

lint: $(READY)
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)snakefmt --check workflow rules
	PATH="$(abspath $(VENV))/bin:$$PATH" $(RUN)snakemake --lint

open_cxr: $(READY)      ## real films and gaze; SIGHTLINE_REAL_DATA names the folder they lie in
	$(LINK) kermany=cxr_kermany_pediatric covid=cxr_covid_open andersson=gaze_andersson_images
	$(SNAKEMAKE) --configfile config/open_cxr.yaml

mnist: $(READY)         ## real digits, eight techniques under six transformations; SIGHTLINE_REAL_DATA as above
	$(LINK) mnist=mnist_idx
	$(SNAKEMAKE) --configfile config/mnist.yaml

pets: $(READY)          ## 26 photographs of cats and dogs, in the same way: a trial of colour pictures in folders
	$(LINK) pets=pets_oxford
	$(SNAKEMAKE) --configfile config/pets.yaml

planted_truth: $(READY) ## does the truth that the phantom plants come out?
	$(SNAKEMAKE) --configfile config/planted_truth.yaml

benchmarks: $(READY) .oracles/gradcam_library/.ready ## speed and memory, as ratios measured in one run
	OMP_NUM_THREADS=1 PYTHONPATH=src $(RUN)python -m benchmarks

docs: $(READY)          ## pages that are made from the code: config/README.md
	PYTHONPATH=src $(RUN)python -m sightline.study.grid workflow/schemas/config.schema.yaml > config/README.md

methods: $(READY)       ## run every method on every network of tests/zoo.py: docs/methods.md and the table that a test holds
	OMP_NUM_THREADS=1 PYTHONPATH=src $(RUN)python -m tests.matrix

oracles: $(ORACLES:%=.oracles/%/.ready) ## numbers of libraries that check ours: tests/fixtures
	for name in $(ORACLES); do OMP_NUM_THREADS=1 .oracles/$$name/bin/python -W ignore -m tests.oracles.$$name || exit 1; done

# An oracle sees this project's packages (a .pth file names their folder) and has, installed without dependencies, itself and
# what it lacks beside them. So there is one torch, of the version that its numbers are compared with, and no pin of an oracle
# can move one of ours. Some are built from source: they need a C compiler.
.oracles/%/.ready: tests/oracles/%.lock $(READY)
	.tools/bin/uv venv --quiet --clear --python $(RUN)python .oracles/$*
	.tools/bin/uv pip sync --quiet --python .oracles/$*/bin/python --require-hashes tests/oracles/$*.lock
	$(RUN)python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$(.oracles/$*/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/sightline.pth"
	@touch $@

$(READY): requirements.lock
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or exit('Sightline needs Python 3.11 or newer; PYTHON=python3.12 make ... names another one')"
	@$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || { echo "Python's venv module is missing: install the system package python3-venv"; exit 1; }
	test -x .tools/bin/uv || { $(PYTHON) -m venv .tools && .tools/bin/python -m pip install --quiet uv; }
	.tools/bin/uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV)
	.tools/bin/uv pip sync --quiet --python $(RUN)python --require-hashes requirements.lock
	@touch $@

lock:                   ## resolve pyproject.toml's dependencies anew, and those of the oracles
	test -x .tools/bin/uv || { $(PYTHON) -m venv .tools && .tools/bin/python -m pip install --quiet uv; }
	.tools/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev \
	  pyproject.toml -o requirements.lock
	for name in $(ORACLES); do .tools/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --no-deps tests/oracles/$$name.in -o tests/oracles/$$name.lock || exit 1; done

clean:                  ## what runs produce (data/ stays)
	rm -rf results .snakemake
