"""Tables as Arrow streams."""

from __future__ import annotations

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
