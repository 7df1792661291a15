"""What the tests share: a database of its own for each of them, SQLite, DuckDB and, where the harness names one, PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path
from typing import Iterator
from urllib.parse import urlsplit, urlunsplit

import pyarrow as pa
import pytest

import floodmark as fm

SERVER = os.environ.get("FLOODMARK_TEST_POSTGRES")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of an SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path / 'warehouse.db'}"


@pytest.fixture
def duck(tmp_path: Path) -> str:
    """The URL of a DuckDB database that is not there yet."""
    return f"duckdb:///{tmp_path / 'warehouse.duckdb'}"


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param != "postgres":
        yield f"{request.param}:///{tmp_path / 'warehouse.db'}"
        return
    if SERVER is None:
        pytest.fail("FLOODMARK_TEST_POSTGRES is not set: `cargo xtask services up` says what to set")
    name = f"py_{uuid.uuid4().hex}"
    psql(SERVER, f"CREATE DATABASE {name}")
    parts = urlsplit(SERVER)
    yield urlunsplit(parts._replace(path=f"/{name}"))
    psql(SERVER, f"DROP DATABASE {name} WITH (FORCE)")


def psql(url: str, sql: str) -> None:
    """Has PostgreSQL's own shell do it."""
    subprocess.run(["psql", "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", url, "-c", sql], check=True)


def rows(url: str, table: str) -> list[dict]:
    """All rows, in the order of their first column."""
    got = pa.table(fm.read(url, table)).to_pylist()
    return sorted(got, key=lambda row: str(next(iter(row.values()))))


@pytest.fixture
def cli(tmp_path: Path):
    """The command line, as a program of its own."""
    program = os.environ["FLOODMARK_BIN"]

    def run(*args: str, code: int = 0) -> str:
        done = subprocess.run([program, *args], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout

    return run
