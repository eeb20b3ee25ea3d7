"""The pages that the browser opens: bundled from the web package's own sources, by its own tools."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import NotVerifiableError
from .chromium import find_chromium

WEB = Path(__file__).parents[2] / "runtimes" / "web"
ESBUILD = WEB / "node_modules" / ".bin" / "esbuild"
ORT = WEB / "node_modules" / "onnxruntime-web" / "dist"
WASM_FILES = ("ort-wasm-simd-threaded.wasm",)
PAGES = WEB / "gate"
BUILD_SECONDS = 60


def what_is_missing() -> str | None:
    """Return why no graph can be run in a browser here, None if it can."""
    if find_chromium() is None:
        return "chromium is not installed"
    if not PAGES.is_dir():
        return "the web package's sources are not part of an installed sam-export; run it from a clone"
    if not ESBUILD.exists() or not ORT.is_dir():
        return "the web package's tools are not installed; run `npm ci --prefix runtimes/web`"
    return None


def built_files(folder: Path, pages: Sequence[str], scripts: Sequence[Path]) -> Mapping[str, Path]:
    """Return the files of some pages by their address: `pages` as they are, `scripts` bundled into `folder`.

    Raises:
        NotVerifiableError: the scripts cannot be bundled.
    """
    command = [str(ESBUILD), *map(str, scripts), "--bundle", "--format=esm", "--target=es2022", f"--outdir={folder}"]
    command.append("--entry-names=[name]")  # scripts of several folders would lie in folders of their own
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=BUILD_SECONDS, text=True)
    except (OSError, subprocess.SubprocessError) as exc:
        detail = getattr(exc, "stderr", None) or exc
        raise NotVerifiableError(f"the browser's page cannot be built ({detail}); run `npm ci` in {WEB}") from exc
    return {
        **{page: PAGES / page for page in pages},
        **{file: ORT / file for file in WASM_FILES},
        **{script.with_suffix(".js").name: folder / script.with_suffix(".js").name for script in scripts},
    }
