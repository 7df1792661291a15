"""Frames into a DuckDB file, which DuckDB's own package reads afterwards, in a process of its own."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import floodmark as fm

ROWS = [
    {"id": 1, "name": "apple", "amount": 1.5, "day": dt.date(2024, 1, 1), "at": dt.datetime(2024, 1, 1)},
    {"id": 2, "name": None, "amount": 2.5, "day": dt.date(2024, 1, 1), "at": dt.datetime(2024, 1, 2, 0, 0, 0, 7)},
    {"id": 3, "name": "grape", "amount": 3.5, "day": dt.date(2024, 1, 2), "at": dt.datetime(2024, 1, 3)},
]

# What becomes of a row.
COUNTED = ["skipped", "rejected", "superseded", "stale", "unchanged", "inserted", "updated", "deleted", "delete_noop", "removed"]

ASK = """
import json, sys, duckdb
db = duckdb.connect(sys.argv[1], read_only=True)
print(json.dumps(db.execute(sys.argv[2]).fetchall(), default=str))
"""


def asked(url: str, sql: str) -> list[list]:
    """What DuckDB's own package says."""
    path = url.removeprefix("duckdb:///")
    done = subprocess.run([sys.executable, "-c", ASK, path, sql], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("settings", "again"),
    [
        ({"load": "append", "watermark": "at"}, {"skipped": 3}),
        ({"load": "overwrite"}, {"inserted": 3, "removed": 3}),
        ({"key": "id"}, {"unchanged": 3}),
        ({"key": "id", "watermark": "at"}, {"skipped": 2, "unchanged": 1}),
        ({"load": "insert_only", "key": "id"}, {"unchanged": 3}),
        ({"load": "delete_insert", "window": "day"}, {"unchanged": 3}),
        ({"load": "scd2", "key": "id"}, {"unchanged": 3}),
    ],
    ids=["append-watermark", "overwrite", "upsert", "upsert-watermark", "insert_only", "delete_insert", "scd2"],
)
@pytest.mark.parametrize("of", [pd.DataFrame, pl.DataFrame, pa.Table.from_pylist, list], ids=["pandas", "polars", "pyarrow", "dicts"])
def test_every_strategy(duck: str, settings: dict, again: dict, of: object) -> None:
    assert fm.load(of(ROWS), duck, table="t", **settings).rows.inserted == 3
    want = [[row["id"], row["name"], row["amount"], str(row["day"]), str(row["at"])] for row in ROWS]
    ask = "SELECT id, name, amount, \"day\", \"at\" FROM t ORDER BY id"
    assert asked(duck, ask) == want
    rows = fm.load(of(ROWS), duck, table="t", **settings).rows
    counted = {name: getattr(rows, name) for name in COUNTED if getattr(rows, name)}
    assert (rows.read, counted) == (3, again)
    assert asked(duck, ask) == want


def test_an_update_a_version_and_a_table_that_is_read_back(duck: str) -> None:
    load = lambda row: fm.load([row], duck, table="t", key="id", version="at").rows
    assert load(ROWS[0]).inserted == 1
    newer = {**ROWS[0], "name": "pear", "at": dt.datetime(2024, 2, 1)}
    assert load(newer).updated == 1
    assert load(ROWS[0]).stale == 1
    assert asked(duck, "SELECT name FROM t") == [["pear"]]
    assert pa.table(fm.read(duck, "t")).to_pylist() == [newer]
    assert pl.DataFrame(fm.read(duck, query="SELECT id FROM t")).to_dicts() == [{"id": 1}]


def test_the_command_line_goes_on(duck: str, cli, tmp_path: Path) -> None:
    fm.load(ROWS, duck, table="t", key="id", watermark="at")
    (tmp_path / "more.csv").write_text("id,name,amount,day,at\n4,melon,4.5,2024-01-03,2024-01-04\n")
    out = cli("load", "more.csv", duck, "--table", "t", "--key", "id", "--watermark", "at", "--format", "json")
    assert json.loads(out)["rows"]["inserted"] == 1
    done = fm.load(ROWS, duck, table="t", key="id", watermark="at")
    assert (done.status, done.rows.skipped) == ("nothing_new", 3)


def test_a_relation_of_the_packages_own_goes_in(duck: str) -> None:
    relation = duckdb.sql("SELECT range AS id, 'row ' || range AS name FROM range(50000)")
    assert fm.load(relation, duck, table="t", key="id").rows.inserted == 50_000
    assert asked(duck, "SELECT count(*), max(name) FROM t") == [[50_000, "row 9999"]]


def test_who_else_has_the_file_is_noticed(duck: str) -> None:
    fm.load(ROWS, duck, table="t", key="id")
    path = duck.removeprefix("duckdb:///")
    more = [*ROWS, {**ROWS[0], "id": 4}]
    # In this process, where the system's locks would not hold it off.
    db = duckdb.connect(path)
    with pytest.raises(fm.DestinationError) as error:
        fm.load(more, duck, table="t", key="id")
    assert error.value.code == "FM0403"
    assert error.value.state and error.value.help
    # Whoever has it goes on, and finds nothing that is not its own.
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(3,)]
    db.close()
    assert fm.load(ROWS, duck, table="t", key="id").rows.unchanged == 3
    # In another one, which is told by its number.
    hold = "import sys, duckdb; db = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(fm.FloodmarkError) as error:
            fm.load(more, duck, table="t", key="id")
        other.stdin.close()
    assert error.value.code == "FM0501"
    assert f"PID {other.pid}" in error.value.message
    assert fm.load(ROWS, duck, table="t", key="id").rows.unchanged == 3
