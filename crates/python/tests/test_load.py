"""What can be handed over, and what becomes of it."""

from __future__ import annotations

import datetime as dt
import decimal
import subprocess
import sys
import uuid
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import floodmark as fm
from conftest import rows

ORDERS = [
    {"id": 1, "name": "apple", "at": dt.datetime(2024, 1, 1)},
    {"id": 2, "name": None, "at": dt.datetime(2024, 1, 2, 0, 0, 0, 7)},
    {"id": 3, "name": "grape", "at": dt.datetime(2024, 1, 3)},
]
MORE = {"id": 4, "name": "melon", "at": dt.datetime(2024, 1, 4)}


def frames(orders: list[dict]) -> dict[str, object]:
    """The same rows, as each library has them."""
    table = pa.Table.from_pylist(orders)
    relation = duckdb.from_arrow(table)
    return {
        "pandas": pd.DataFrame(orders),
        "pandas by arrow": table.to_pandas(types_mapper=pd.ArrowDtype),
        "polars": pl.DataFrame(orders),
        "pyarrow table": table,
        "pyarrow batch": table.to_batches()[0],
        "pyarrow reader": table.to_reader(),
        "duckdb": relation,
        "dicts": orders,
        "generator": (row for row in orders),
        "pages": iter([orders[:2], [], orders[2:]]),
        "batches": iter(pa.Table.from_pylist([row]) for row in orders),
    }


def test_an_append_knows_its_rows_whatever_hands_them_over(url: str, tmp_path: Path) -> None:
    lines = ["id,name,at", "1,apple,2024-01-01 00:00:00", "2,,2024-01-02 00:00:00.000007", "3,grape,2024-01-03 00:00:00"]
    (tmp_path / "orders.csv").write_text("\n".join(lines) + "\n")
    load = lambda data: fm.load(data, url, table="orders", load="append", watermark="at")
    assert load(str(tmp_path / "orders.csv")).rows.inserted == 3
    for what, data in frames(ORDERS).items():
        assert load(data).rows.changed == 0, what
    assert len(rows(url, "orders")) == 3


def test_a_function_behind_a_transform_gives_all(sqlite: str) -> None:
    asked = []

    @fm.source
    def orders(since):
        asked.append(since)
        yield ORDERS

    for _ in range(2):
        fm.load(orders, sqlite, key="id", watermark="at", transform="SELECT id, name, at + INTERVAL '5 hours' AS at FROM source")
    assert asked == [None, None]
    assert len(rows(sqlite, "orders")) == 3


@pytest.mark.parametrize("what", list(frames(ORDERS)))
def test_whatever_has_the_rows_they_are_loaded_once(url: str, what: str) -> None:
    load = lambda orders: fm.load(frames(orders)[what], url, table="orders", key="id", watermark="at")
    first = load(ORDERS)
    assert (first.status, first.rows.inserted, first.rows.read) == ("ok", 3, 3)
    assert (first.watermark.column, first.watermark.before) == ("at", None)
    again = load(ORDERS)
    assert (again.status, again.rows.changed) == ("nothing_new", 0)
    # Rows behind the watermark are left out, and those at it are recognised.
    assert (again.rows.skipped, again.rows.unchanged) == (2, 1)
    third = load([*ORDERS, MORE])
    assert (third.rows.inserted, third.rows.changed) == (1, 1)
    assert rows(url, "orders") == [*ORDERS, MORE]


def test_a_row_that_changed_is_updated_and_an_older_one_is_not(url: str) -> None:
    load = lambda row: fm.load([row], url, table="orders", key="id", version="at").rows
    assert load(ORDERS[0]).inserted == 1
    newer = {"id": 1, "name": "pear", "at": dt.datetime(2024, 2, 1)}
    assert load(newer).updated == 1
    assert load(ORDERS[0]).stale == 1
    assert rows(url, "orders") == [newer]


def test_of_two_rows_with_one_key_the_later_one_counts(url: str) -> None:
    """The order of a frame means something, as that of a file does."""
    done = fm.load(pl.DataFrame({"id": [1, 1], "n": [1, 2]}), url, table="t", key="id")
    assert (done.rows.inserted, done.rows.superseded) == (1, 1)
    assert rows(url, "t") == [{"id": 1, "n": 2}]


def test_rows_of_a_query_in_no_order_are_refused_where_the_order_would_decide(url: str) -> None:
    relation = duckdb.sql("SELECT * FROM (VALUES (1, 1), (1, 2)) AS t(id, n)")
    with pytest.raises(fm.SourceError) as error:
        fm.load(relation, url, table="t", key="id")
    assert error.value.code == "FM0213"


def test_every_kind_of_value_is_kept_exactly(url: str) -> None:
    one = {
        "id": 1,
        "flag": True,
        "big": 2**62,
        "huge": 2**64 + 1,
        "amount": decimal.Decimal("12.340"),
        "ratio": 0.1,
        "name": "naïve ☃",
        "raw": b"\x00\xff",
        "day": dt.date(2024, 2, 29),
        "at": dt.datetime(2024, 2, 29, 12, 0, 0, 123456),
        "moment": dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "ref": uuid.UUID(int=7),
        "nothing": None,
    }
    fm.load([one], url, table="t", key="id")
    got = pa.table(fm.read(url, "t")).to_pylist()[0]
    assert got["big"] == 2**62 and decimal.Decimal(got["huge"]) == 2**64 + 1
    assert str(got["amount"]) == "12.340" and got["ratio"] == 0.1
    assert (got["name"], got["raw"], got["day"]) == (one["name"], one["raw"], one["day"])
    assert (got["at"], got["moment"]) == (one["at"], one["moment"])
    assert (got["ref"], got["nothing"]) == (str(one["ref"]), None)
    assert got["flag"] in (True, 1)


def test_columns_widen_where_that_loses_nothing(sqlite: str) -> None:
    many = [{"id": n, "x": n} for n in range(40_000)] + [{"id": 40_000, "x": 0.5, "late": dt.date(2024, 1, 1)}]
    done = fm.load(iter(many), sqlite, table="t", key="id")
    assert done.rows.inserted == 40_001
    got = pa.table(fm.read(sqlite, query="SELECT * FROM t WHERE id IN (0, 39999, 40000) ORDER BY id")).to_pylist()
    assert [row["x"] for row in got] == [0.0, 39_999.0, 0.5]
    assert [row["late"] for row in got] == [None, None, "2024-01-01"] or got[2]["late"] == dt.date(2024, 1, 1)


def test_a_source_is_called_with_where_reading_begins(url: str) -> None:
    asked = []

    @fm.source
    def orders(since):
        """Rows from a position on."""
        asked.append(since)
        yield [row for row in ORDERS if since is None or row["at"] >= since]

    load = lambda **more: fm.load(orders, url, key="id", watermark="at", **more)
    assert load().rows.inserted == 3
    assert load().rows.read == 1
    assert load(lookback=dt.timedelta(days=1)).rows.read == 2
    at = ORDERS[2]["at"]
    assert asked == [None, at, at - dt.timedelta(days=1)]
    assert orders.__doc__ == "Rows from a position on." and list(orders(None))[0] == ORDERS


@pytest.mark.parametrize("first", [7, dt.date(2024, 2, 29), decimal.Decimal("1.50"), "b", dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)])
def test_the_position_is_of_the_columns_type(sqlite: str, first: object) -> None:
    asked = []

    @fm.source
    def t(since):
        asked.append(since)
        return [{"id": 1, "at": first}]

    # Of text it is to be said that it is meant.
    columns = {"at": "text"} if isinstance(first, str) else None
    for _ in range(2):
        fm.load(t, sqlite, key="id", watermark="at", columns=columns)
    assert asked == [None, first] and type(asked[1]) is type(first)


def test_objects_of_the_callers_thread_are_used_there(sqlite: str, tmp_path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "source.db") as db:
        db.execute("CREATE TABLE t AS SELECT 1 AS id")

        def made():
            for (id,) in db.execute("SELECT id FROM t"):
                yield {"id": id}

        assert fm.load(made(), sqlite, table="t", key="id").rows.inserted == 1


def test_a_table_of_one_database_goes_into_another(url: str, sqlite: str) -> None:
    fm.load(ORDERS, sqlite + "2", table="orders", key="id")
    done = fm.load(fm.read(sqlite + "2", "orders"), url, table="copy", key="id")
    assert done.rows.inserted == 3
    assert rows(url, "copy") == ORDERS


def test_files_are_loaded_by_their_path(sqlite: str, tmp_path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("id,zip\n1,007\n")
    for status in ("ok", "nothing_new"):
        assert fm.load(path, sqlite, key="id").status == status
    assert rows(sqlite, "orders") == [{"id": 1, "zip": "007"}]


def test_paths_that_look_like_flags_are_known_by_one_name(sqlite: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, number in (("--x.csv", 1), ("a.csv", 2), ("-f", 3)):
        (tmp_path / name).write_text(f"id\n{number}\n")
    assert fm.load("--x.csv", sqlite, table="t", key="id").rows.inserted == 1
    assert fm.load(["a.csv", "--x.csv", "-f"], sqlite, table="t", key="id").rows.read == 2
    assert fm.load(["-f", "--x.csv", "a.csv"], sqlite, table="t", key="id").status == "nothing_new"


def test_a_load_is_continued_by_the_command_line_and_the_other_way_round(url: str, cli, tmp_path) -> None:
    fm.load(ORDERS, url, table="orders", key="id", watermark="at")
    path = tmp_path / "more.csv"
    path.write_text("id,name,at\n3,grape,2024-01-03\n4,melon,2024-01-04\n")
    out = cli("load", str(path), url, "--table", "orders", "--key", "id", "--watermark", "at", "--format", "json")
    assert '"inserted":1' in out and '"before":"2024-01-03 00:00:00"' in out
    done = fm.load([*ORDERS, MORE], url, table="orders", key="id", watermark="at")
    assert (done.status, done.rows.skipped, done.watermark.before) == ("nothing_new", 3, "2024-01-04 00:00:00")
    assert rows(url, "orders") == [*ORDERS, MORE]


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
import pandas as pd, floodmark as fm
frame = pd.DataFrame({
    "id": [1, 2], "x": [0.5, float("nan")], "name": ["a", None],
    "at": pd.to_datetime(["2024-01-01T00:00:00.000000001", None]), "c": pd.Categorical(["u", "u"]),
})
print(fm.load(frame, sys.argv[1], table="t", key="id").rows.inserted)
"""


def test_pandas_needs_no_pyarrow(sqlite: str) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_PYARROW, sqlite], capture_output=True, text=True)
    assert done.stdout == "2\n", done.stderr
    first, second = rows(sqlite, "t")
    assert (first["x"], first["name"], first["c"]) == (0.5, "a", "u")
    assert pd.Timestamp(first["at"]) == pd.Timestamp("2024-01-01T00:00:00.000000001")
    assert (second["x"], second["name"], second["at"]) == (None, None, None)


def test_append_and_overwrite(url: str) -> None:
    at = lambda orders, **more: fm.load(orders, url, table="log", **more).rows
    assert at(ORDERS, load="append", watermark="at").inserted == 3
    assert at([*ORDERS, MORE], load="append", watermark="at").inserted == 1
    assert len(rows(url, "log")) == 4
    assert fm.load(ORDERS, url, table="all", load="overwrite").rows.inserted == 3
    fm.load(ORDERS[:1], url, table="all", load="overwrite")
    assert rows(url, "all") == ORDERS[:1]


def test_a_transform_and_rejects(url: str) -> None:
    done = fm.load(
        pl.DataFrame({"id": ["1", "x", "3"], "n": [1, 2, 3]}),
        url,
        table="t",
        key="id",
        columns={"id": "bigint"},
        on_bad_row="reject",
    )
    assert (done.rows.inserted, done.rows.rejected) == (2, 1)
    done = fm.load(ORDERS, url, table="u", key="id", transform="SELECT id, upper(name) AS name FROM source")
    assert done.rows.transformed == 3
    assert [row["name"] for row in rows(url, "u")] == ["APPLE", None, "GRAPE"]


def test_a_full_refresh_forgets(url: str) -> None:
    fm.load(ORDERS, url, table="orders", key="id", watermark="at")
    done = fm.load(ORDERS[:1], url, table="orders", key="id", watermark="at", full_refresh=True)
    assert done.rows.inserted == 1
    assert rows(url, "orders") == ORDERS[:1]


def test_a_result_is_shown_in_a_notebook(sqlite: str) -> None:
    done = fm.load([*ORDERS, {**MORE, "name": "<b>"}], sqlite, table="<t>", key="id", watermark="at")
    html = done._repr_html_()
    assert "<svg" in html and "4 inserted" in html and "&lt;t&gt;" in html and "<t>" not in html
    assert repr(done).startswith("<floodmark <t>: ok · read 4, inserted 4 · at None → 2024-01-04 00:00:00 · ")
    assert done["rows"]["inserted"] == done.rows.inserted == 4 and dict(done)["load"] == "upsert"


MEMORY = """
import os, sys
import pyarrow as pa, floodmark as fm

def used():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

text = pa.array(["x" * 200] * 10_000)
table = pa.table({
    "id": pa.chunked_array([pa.array(range(1_000_000))]),
    "text": pa.concat_tables([pa.table({"t": text})] * 100).combine_chunks().column("t"),
})
fm.load(table[:1], sys.argv[1], table="t", key="id")
before, most = used(), 0

def look(event):
    global most
    most = max(most, used())

done = fm.load(table, sys.argv[1], table="t", key="id", progress=look)
print(done.rows.read, table.nbytes >> 20, most - before)
"""


def test_a_frame_is_not_copied(sqlite: str) -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY, sqlite], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read, frame, more = map(int, done.stdout.split())
    assert read == 1_000_000 and frame > 200
    assert more < frame / 2, f"{more} MB more for a frame of {frame} MB"


LARGE = """
import os, sys
import floodmark as fm

def used():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

def made():
    global most
    for n in range(400):
        yield {"id": n, "text": "x" * 1_000_000}
        most = max(most, used())

fm.load([{"id": -1, "text": "x"}], sys.argv[1], table="t", key="id")
before = most = used()
print(fm.load(made(), sys.argv[1], table="t", key="id").rows.inserted, most - before)
"""


def test_dicts_are_held_by_their_size_and_not_their_number(sqlite: str) -> None:
    done = subprocess.run([sys.executable, "-c", LARGE, sqlite], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    inserted, more = map(int, done.stdout.split())
    assert inserted == 400
    assert more < 150, f"{more} MB more for 400 MB that are made one by one"


def test_another_library_that_has_the_file_open_is_noticed(tmp_path: Path) -> None:
    import sqlite3

    url, path = f"sqlite:///{tmp_path / 'w.db'}", tmp_path / "w.db"
    fm.load(ORDERS, url, table="orders", key="id")
    other = sqlite3.connect(path)
    other.execute("SELECT count(*) FROM orders").fetchone()
    (tmp_path / "link.db").symlink_to(path)
    project = tmp_path / "floodmark.yaml"
    (tmp_path / "t.csv").write_text("id\n1\n")
    project.write_text(
        "version: 1\npipelines: { t: { source: { files: t.csv }, key: id, destination: { url: 'sqlite:///w.db', table: t } } }\n"
    )
    for work in (
        lambda: fm.load([MORE], url, table="orders", key="id"),
        lambda: fm.load([MORE], f"sqlite:///{tmp_path / 'link.db'}", table="orders", key="id"),
        lambda: fm.load(tmp_path / "t.csv", url, key="id"),
        lambda: fm.read(url, "orders"),
        lambda: fm.Project(project).run(),
    ):
        with pytest.raises(fm.DestinationError) as error:
            work()
        assert error.value.code == "FM0403" and "close that connection" in error.value.help[0]
    other.close()
    assert fm.load([MORE], url, table="orders", key="id").rows.inserted == 1
    assert fm.Project(project).run("t").rows.inserted == 1
    # What Floodmark has open itself is no other.
    stream = pa.RecordBatchReader.from_stream(fm.read(url, "orders"))
    assert fm.load([MORE], url, table="orders", key="id").rows.unchanged == 1
    assert sum(len(batch) for batch in stream) == 4


@pytest.mark.parametrize("destination", ["sqlite", "duck"])
def test_a_load_within_another_one_of_the_same_file_is_refused(destination: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(destination)

    def made():
        yield pa.table({"id": [1]})
        fm.load([{"id": 1}], url, table="other", key="id")

    with pytest.raises(fm.SourceError) as error:
        fm.load(made(), url, table="t", key="id")
    assert error.value.__cause__.code == "FM0403"
    assert fm.load([{"id": 1}], url, table="t", key="id").rows.inserted == 1


def test_a_load_within_another_one_of_another_file(sqlite: str) -> None:
    def made():
        fm.load([{"id": 1}], sqlite + "2", table="other", key="id")
        yield {"id": 1}

    assert fm.load(made(), sqlite, table="t", key="id").rows.inserted == 1
