# sam-export: `make demo` exports and proves the default model; `make test` runs everything.
PYTHON ?= python3
# Else onnxruntime reports every session of the tests to its maker.
export ORT_DISABLE_TELEMETRY := 1
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= dist
MODEL := lite_medsam
TARGETS := onnx openvino coreml
PICTURE = $(shell $(BIN)/python -c 'import pathlib, skimage; print(pathlib.Path(skimage.__file__).parent / "data/coins.png")')
BENCHED := $(addprefix $(OUT)/bench/$(MODEL)-,onnx-fp32 onnx-int8 openvino-fp32 openvino-bf16 openvino-int8 web)
BENCH_PEERS := quantize_dynamic nncf_default step_exporter step_folded
BOXES := --box 250,172,296,218 --box 255,34,297,74 --box 189,169,237,218 --box 84,106,123,148 --box 24,172,66,216 --box 310,14,366,70
# A file's tests stay together, in the order of tests/conftest.py. Three on two cores: one of them mostly waits for a
# browser or for processes of its own.
WORKERS := -n 3 --dist loadfile --no-loadscope-reorder
WEB := runtimes/web
WEB_TOOLS := $(WEB)/node_modules/.package-lock.json
PAGE := sam_export/server/page
PAGE_SOURCES = $(shell find $(WEB)/src $(WEB)/demo -type f -not -path '*/public/bundle/*' -not -path '*/dist/*')

.PHONY: bench demo docs families page test test-fast test-full-size check lint types wheel clean help

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## export the default model to every target at fp32 and fp16, prove it, draw an overlay
	$(BIN)/sam-export $(MODEL) --target $(TARGETS) --precision fp32 fp16 --overwrite -o $(OUT)
	$(BIN)/sam-export segment $(OUT)/$(MODEL)-onnx-fp16 "$(PICTURE)" $(BOXES) --overwrite -o $(OUT)/demo
	$(BIN)/sam-export inspect $(foreach target,$(TARGETS),$(OUT)/$(MODEL)-$(target)-fp32 $(OUT)/$(MODEL)-$(target)-fp16)
	@echo "reports: $(OUT)/$(MODEL)-*/report.html"
	@echo "overlay: $(OUT)/demo/overlay.png"

$(WEB_TOOLS): $(WEB)/package-lock.json
	npm ci --prefix $(WEB) --no-audit --no-fund

$(PAGE)/index.html: $(WEB_TOOLS) $(PAGE_SOURCES)
	npm run build --prefix $(WEB)/demo -- --outDir $(CURDIR)/$(PAGE)

page: $(PAGE)/index.html  ## build the demo page that `sam-export serve` shows

bench: $(INSTALLED)  ## measure the default model here beside its peers, in Chromium too, write docs/benchmark
	$(BIN)/sam-export $(MODEL) --target onnx openvino --precision fp32 int8 --overwrite -o $(OUT)/bench
	$(BIN)/sam-export $(MODEL) --target openvino --precision bf16 --overwrite -o $(OUT)/bench
	npm ci --prefix runtimes/web --no-audit --no-fund
	$(BIN)/sam-export $(MODEL) --target web --overwrite -o $(OUT)/bench
	$(BIN)/sam-export bench $(BENCHED) --peers $(BENCH_PEERS) -o docs/benchmark

families: $(INSTALLED)  ## export every model to every target at full size (a day), write docs/families.md and README's table
	-$(BIN)/python -m sam_export.benchmarks.families --page docs/families.md
	$(BIN)/sam-export models --matrix --into README.md

docs: $(INSTALLED)  ## build the tutorials and reference pages into build/site
	$(BIN)/python -m mkdocs build --quiet --strict
	@echo "$(CURDIR)/build/site/index.html"

test: $(INSTALLED)  ## run the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/pytest $(WORKERS)

test-fast: $(INSTALLED)  ## run the tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/pytest $(WORKERS) -m 'not slow and not full_size'

test-full-size: $(INSTALLED)  ## compare large models at full size, one by one: an hour, 12 GB
	OMP_NUM_THREADS=2 $(BIN)/pytest -m full_size --timeout 3600

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

wheel: $(INSTALLED) $(if $(shell command -v npm),page)  ## build the wheel, with the demo page where there is npm
	rm -rf build
	$(BIN)/python -m build --wheel --outdir build/wheel . > /dev/null
	$(PYTHON) -m venv build/clean
	build/clean/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$$(ls build/wheel/*.whl)[dev]"

types: wheel
	cd build/clean && bin/mypy --config-file ../../pyproject.toml -p sam_export

check: lint types  ## ruff, mypy and the fast tests, the last two on the built wheel in a clean environment
	PYTHONSAFEPATH=1 OMP_NUM_THREADS=1 build/clean/bin/pytest $(WORKERS) -m 'not slow and not full_size' -p no:cacheprovider

clean:  ## remove what make made
	rm -rf $(VENV) build $(OUT) $(PAGE) $(WEB)/node_modules $(WEB)/dist
