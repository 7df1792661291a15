"""Tables as Arrow streams."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import floodmark as fm


def test_a_table_is_read_by_whatever_reads_arrow(url: str) -> None:
    fm.load(pl.DataFrame({"id": [1, 2], "name": ["a", None]}), url, table="t", key="id")
    table = fm.read(url, "t")
    want = [{"id": 1, "name": "a"}, {"id": 2, "name": None}]
    by_id = lambda rows: sorted(rows, key=lambda row: row["id"])
    # Anew each time.
    for _ in range(2):
        assert by_id(pa.table(table).to_pylist()) == want
    assert by_id(pl.DataFrame(table).to_dicts()) == want
    frame = pa.table(table).to_pandas()
    assert isinstance(frame, pd.DataFrame) and len(frame) == 2
    assert table.columns == [("id", "bigint"), ("name", "text")]
    assert pa.table(fm.read(url, query="SELECT count(*) AS n FROM t")).to_pylist() == [{"n": 2}]


def test_a_table_is_read_batch_by_batch(sqlite: str) -> None:
    fm.load(pa.table({"id": range(100_000)}), sqlite, table="t", key="id")
    reader = pa.RecordBatchReader.from_stream(fm.read(sqlite, "t"))
    first = reader.read_next_batch()
    assert 0 < len(first) < 100_000
    assert len(first) + sum(len(batch) for batch in reader) == 100_000


ENDLESS = """
import sys, time
import pyarrow as pa, floodmark as fm

fm.load([{"id": 1}], sys.argv[1], table="t", key="id")
work = {
    # The first takes its time before there is a row, the second gives rows for ever.
    "one": lambda: pa.table(fm.read(sys.argv[1], query="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) AS i FROM n")),
    "many": lambda: sum(len(batch) for batch in pa.RecordBatchReader.from_stream(
        fm.read(sys.argv[1], query="WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT CAST(i AS INTEGER) AS i FROM n"))),
}[sys.argv[2]]
print("begun", flush=True)
try:
    work()
except KeyboardInterrupt:
    print("interrupted")
except Exception as error:
    time.sleep(0.01)
    print("error", error)
"""


@pytest.mark.parametrize("what", ["one", "many"])
def test_ctrl_c_ends_a_read(sqlite: str, what: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", ENDLESS, sqlite, what], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    time.sleep(2)
    child.send_signal(signal.SIGINT)
    try:
        told, errors = child.communicate(timeout=20)
    finally:
        child.kill()
    # Raised at once, or as soon as whoever reads the stream has come back.
    assert "interrupted" in told or "KeyboardInterrupt" in errors, told + errors


def test_what_cannot_be_read(sqlite: str, url: str) -> None:
    with pytest.raises(fm.SourceError) as error:
        fm.read(sqlite, "t")
    assert error.value.code == "FM0201"
    with pytest.raises(fm.ConfigError):
        fm.read("oracle://x", "t")
    for wrong in ({}, {"table": "t", "query": "SELECT 1"}):
        with pytest.raises(TypeError):
            fm.read(sqlite, **wrong)


def test_no_password_is_shown() -> None:
    with pytest.raises(fm.FloodmarkError) as error:
        fm.read("postgres://app:hunter2@127.0.0.1:1/shop", "t")
    assert "hunter2" not in str(error.value) + repr(error.value)


READS = """
import sys
import polars as pl, pyarrow as pa
import floodmark as fm

url = sys.argv[1]
fm.load([{"id": 1}, {"id": 2}], url, table="t", key="id")

def whole():
    yield {"id": pa.table(fm.read(url, "t")).num_rows + 1}

def batches():
    yield pl.DataFrame(fm.read(url, "t"))
    stream = pa.RecordBatchReader.from_stream(fm.read(url, "t"))
    yield stream.read_next_batch()
    # One that is let go of before its end.
    pa.RecordBatchReader.from_stream(fm.read(url, "t")).close()

print(fm.load(whole(), url, table="t", key="id").rows.inserted, fm.load(batches(), url, table="t", key="id").rows.read)
"""


def test_what_is_loaded_may_read_itself(sqlite: str) -> None:
    """A library that reads gives the GIL away, on a thread on which a load is at work."""
    done = subprocess.run([sys.executable, "-c", READS, sqlite], capture_output=True, text=True)
    assert done.stdout == "1 6\n", done.stderr
