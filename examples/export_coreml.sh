#!/usr/bin/env bash
# Export a model to Core ML and show what is in the bundle. Further options go to the export: --minimum-ios 17, say.
set -euo pipefail
model=${MODEL:-lite_medsam}

sam-export "$model" --target coreml --precision fp16 -o dist/ "$@"
sam-export inspect "dist/$model-coreml-fp16"
