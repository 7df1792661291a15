"""The lesson beside pandas, run from its first cell to its last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LESSON = Path(os.environ["FLOODMARK_EXAMPLES"]) / "lesson" / "lesson.ipynb"


def test_the_notebook_runs_as_it_stands(tmp_path: Path) -> None:
    out = tmp_path / "lesson.ipynb"
    command = [Path(sys.executable).parent / "jupyter-execute", LESSON, "--output", out]
    # Jupyter keeps files of its own, and not among those of who runs the tests.
    apart = {name: str(tmp_path / name.lower()) for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    done = subprocess.run(command, env={**os.environ, **apart, "FLOODMARK_ROWS": "20000"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    cells = [cell for cell in json.loads(out.read_text())["cells"] if cell["cell_type"] == "code"]
    asked = [cell for cell in json.loads(LESSON.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["source"] for cell in cells] == [cell["source"] for cell in asked]
    assert all(cell["execution_count"] == n for n, cell in enumerate(cells, 1))
    shown = json.dumps([cell["outputs"] for cell in cells])
    # What is refused says what to do; results are pictures; and the clock has both sides.
    assert "at_least_once" in shown and "<svg" in shown and "times faster" in shown
    # Six ideas, as the lesson's other half has folders.
    titles = [line for cell in json.loads(LESSON.read_text())["cells"] for line in cell["source"] if line.startswith("## ")]
    assert [title[3] for title in titles[:6]] == list("123456")
