"""What is in the wheel, and what it installs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import floodmark as fm

WHEEL = Path(os.environ["FLOODMARK_WHEEL"])


def test_the_wheel_is_for_every_python_and_has_what_belongs_to_it() -> None:
    assert f"floodmark-{fm.__version__}-cp310-abi3-" in WHEEL.name
    with ZipFile(WHEEL) as wheel:
        names = wheel.namelist()
        about = wheel.read(f"floodmark-{fm.__version__}.dist-info/METADATA").decode()
    assert {"floodmark/py.typed", "floodmark/_floodmark.abi3.so", "floodmark/_floodmark.pyi"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names) and not any("tests/" in name for name in names)
    assert "Requires-Python: >=3.10" in about and "Requires-Dist" not in about


def test_it_installs_the_program(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "floodmark"
    for command in ([program], [sys.executable, "-m", "floodmark"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout == f"floodmark {fm.__version__}\n"


def test_the_program_proves_by_processes_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\n1\n2\n")
    (tmp_path / "floodmark.yaml").write_text(
        "version: 1\npipelines: { t: { source: { files: t.csv }, key: id, destination: { url: 'sqlite:///w.db', table: t } } }\n"
    )
    program = Path(sys.executable).parent / "floodmark"
    done = subprocess.run([program, "prove"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "1 pipeline proven" in done.stdout, done.stdout + done.stderr
