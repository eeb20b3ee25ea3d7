#!/usr/bin/env bash
# Export a model at several precisions and compare them. Further options go to the export: --evaluation DIR, say.
set -euo pipefail
model=${MODEL:-lite_medsam}
read -ra precisions <<< "${PRECISIONS:-fp32 fp16 w8 int8}"

sam-export "$model" --target onnx --precision "${precisions[@]}" -o dist/ "$@" || echo "Some did not pass the gate; the lines above say why."
sam-export inspect "dist/$model-onnx-"*
