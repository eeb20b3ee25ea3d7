"""What the description of the interface allows, and what it does not, tried by schemathesis: answers are as described,
and none is a fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .live import Live

# A description cannot say which pictures are whole and which prompts fit into them, so refusing one is no mistake.
UNSAYABLE = "positive_data_acceptance"
SEED = "7"
EXAMPLES = os.environ.get("SAM_EXPORT_HOSTILE_CASES", "20")


@pytest.mark.slow
def test_the_interface_keeps_to_its_description(live: Live, tmp_path: Path) -> None:
    program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    words = ["run", f"{live.url}/openapi.json", "--checks", "all", "--exclude-checks", UNSAYABLE]
    words += ["--max-examples", EXAMPLES, "--seed", SEED, "--phases", "examples,coverage,fuzzing", "--workers", "1"]
    words += ["--continue-on-failure", "--request-timeout", "20", "--no-color"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=tmp_path,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-3000:]
    assert "Tested: 6" in done.stdout
    assert live.client.get("/healthz").json() == {"status": "ready"}
