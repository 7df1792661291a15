"""A server that goes away in the middle of a load, on PostgreSQL."""

from __future__ import annotations

import logging

import pyarrow as pa
import pytest

import floodmark as fm
from conftest import SERVER, psql, rows


def lose(url: str) -> None:
    """Ends every session of a database."""
    name = url.split("?")[0].rsplit("/", 1)[1]
    psql(SERVER, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_function_is_called_again(url: str, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    @fm.source
    def t(since):
        calls.append(since)
        yield pa.table({"id": range(20_000)})
        if len(calls) == 1:
            lose(url)
        yield pa.table({"id": range(20_000, 40_000)})

    with caplog.at_level(logging.WARNING, logger="floodmark"):
        assert fm.load(t, url, key="id").rows.inserted == 40_000
    assert len(calls) == 2
    assert any("trying again" in record.getMessage() for record in caplog.records)
    assert len(rows(url, "t")) == 40_000


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_dicts_are_kept_and_read_again(url: str) -> None:
    took = []

    def made():
        took.append(1)
        yield from ({"id": n} for n in range(40_000))
        lose(url)

    assert fm.load(made(), url, table="t", key="id").rows.inserted == 40_000
    assert took == [1]


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_stream_that_is_gone_is_an_error_that_says_so(url: str) -> None:
    def batches():
        yield pa.record_batch({"id": range(20_000)})
        lose(url)
        yield pa.record_batch({"id": range(20_000, 40_000)})

    made = lambda: pa.RecordBatchReader.from_batches(pa.schema({"id": pa.int64()}), batches())
    with pytest.raises(fm.SourceError) as error:
        fm.load(made(), url, table="t", key="id")
    assert "are gone" in error.value.message and error.value.state.startswith("nothing was written")
    again = pa.table({"id": range(40_000)})
    assert fm.load(again, url, table="t", key="id").rows.inserted == 40_000


@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_a_function_that_is_called_again_begins_where_the_state_is_by_then(url: str) -> None:
    """Nobody holds the pipeline while the server is away."""
    calls = []
    every = [{"id": n, "at": n} for n in range(1, 4)]

    @fm.source
    def t(since):
        calls.append(since)
        yield from (row for row in every if since is None or row["at"] >= since)
        if len(calls) == 2:
            lose(url)
            psql(url, "DELETE FROM t; DELETE FROM _floodmark_state")

    fm.load(t, url, key="id", watermark="at")
    done = fm.load(t, url, key="id", watermark="at")
    assert calls == [None, 3, None]
    assert done.rows.inserted == 3 and len(rows(url, "t")) == 3
