"""What is wrong with rows is told before anything is written, and in words of what was handed over."""

from __future__ import annotations

import asyncio
import datetime as dt
import decimal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import floodmark as fm
from conftest import rows


def refused(kind: type, code: str, data: object, url: str, **more: object) -> fm.FloodmarkError:
    """The error of a load that must fail and leave nothing."""
    with pytest.raises(kind) as error:
        fm.load(data, url, **{"table": "t", "key": "id", **more})
    assert error.value.code == code
    assert error.value.state and error.value.help
    with pytest.raises(fm.SourceError):
        fm.read(url, "t")
    return error.value


def test_an_object_column_of_mixed_types(sqlite: str) -> None:
    error = refused(fm.DataError, "FM0301", pd.DataFrame({"id": [1, 2, 3], "x": [1, None, "a"]}, dtype=object), sqlite)
    assert error.message == "column 'x' holds int (row 1) and str (row 3)"


def test_dicts_of_mixed_types(sqlite: str) -> None:
    error = refused(fm.DataError, "FM0301", [{"id": 1, "x": 1}, {"id": 2, "x": "a"}], sqlite)
    assert error.message == 'column "x" holds int (row 1) and str (row 2)'
    assert (error.place.row, error.place.column) == (2, "x")
    fm.load([{"id": 1, "x": 1}, {"id": 2, "x": "a"}, {"id": 3, "x": 0.5}], sqlite, table="t", key="id", columns={"x": "text"})
    assert [row["x"] for row in rows(sqlite, "t")] == ["1", "a", "0.5"]


VALUES = {
    7: "7",
    -0.5: "-0.5",
    1e300: None,
    decimal.Decimal("2.50"): "2.50",
    dt.date(2024, 1, 1): "2024-01-01",
    dt.datetime(2024, 1, 1, 12): "2024-01-01 12:00:00",
    dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))): None,
    True: "true",
    "a": "a",
}


@pytest.mark.parametrize("beside", [*VALUES, None])
def test_a_text_does_not_depend_on_what_stands_beside_it(sqlite: str, beside: object) -> None:
    given = list(enumerate(VALUES, 1))
    for n, value in given:
        fm.load([{"id": n, "x": value}], sqlite, table="alone", key="id", columns={"x": "text"})
        with_other = [{"id": n, "x": value}, {"id": -n, "x": beside}]
        fm.load(with_other, sqlite, table="beside", key="id", columns={"x": "text"})
    got = {table: {row["id"]: row["x"] for row in rows(sqlite, table)} for table in ("alone", "beside")}
    for n, value in given:
        text = got["alone"][n]
        assert got["beside"][n] == text and isinstance(text, str), value
        assert VALUES[value] in (None, text)


def test_a_text_does_not_depend_on_rows_that_lie_far_away(sqlite: str) -> None:
    far = [{"id": n, "x": n} for n in range(20_000)] + [{"id": 20_000, "x": 0.5}]
    fm.load(iter(far), sqlite, table="t", key="id", columns={"x": "text"})
    got = pa.table(fm.read(sqlite, query="SELECT x FROM t WHERE id IN (7, 20000) ORDER BY id")).to_pylist()
    assert got == [{"x": "7"}, {"x": "0.5"}]


def test_a_text_is_that_of_a_typed_column(sqlite: str) -> None:
    at = dt.datetime(2024, 1, 1, 12, 0, 0, 5)
    frame = pl.DataFrame({"id": [1], "a": [at], "b": [dt.date(2024, 1, 1)], "c": [0.1], "d": [7], "e": [True]})
    texts = {name: "text" for name in "abcde"}
    fm.load(frame, sqlite, table="typed", key="id", columns=texts)
    fm.load(frame.to_dicts(), sqlite, table="told", key="id", columns=texts)
    assert rows(sqlite, "typed") == rows(sqlite, "told")


def test_bytes_are_no_text_of_their_own(sqlite: str) -> None:
    mixed = [{"id": 1, "x": b"\xff"}, {"id": 2, "x": "a"}]
    refused(fm.DataError, "FM0301", mixed, sqlite, columns={"x": "text"})


def test_mixed_types_of_rows_that_lie_far_apart(sqlite: str) -> None:
    far = [{"id": n, "x": n} for n in range(20_000)] + [{"id": 20_000, "x": "a"}]
    error = refused(fm.DataError, "FM0301", iter(far), sqlite)
    assert error.message == 'column "x" holds int (row 1) and str (row 20001)'


def test_an_int_that_no_float_is(sqlite: str) -> None:
    error = refused(fm.DataError, "FM0301", [{"id": 1, "x": 0.5}, {"id": 2, "x": 2**53 + 1}], sqlite)
    assert "an int that no float is (row 2)" in error.message


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2, 3]], columns=["id", "a", "a"]),
        pa.table([[1], [2], [3]], names=["id", "a", "a"]),
    ],
    ids=["pandas", "pyarrow"],
)
def test_two_columns_of_one_name(sqlite: str, frame: object) -> None:
    error = refused(fm.SourceError, "FM0204", frame, sqlite)
    assert "columns 2 and 3" in error.message


def test_column_names_that_are_no_text(sqlite: str) -> None:
    refused(fm.SourceError, "FM0204", pd.DataFrame({"id": [1], 7: [2]}), sqlite)
    refused(fm.SourceError, "FM0204", [{"id": 1, 7: 2}], sqlite)
    levels = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "id"), ("a", "x")]))
    refused(fm.SourceError, "FM0204", levels, sqlite)


def test_an_index_that_matters_is_not_dropped(sqlite: str) -> None:
    named = pd.DataFrame({"x": [1, 2]}, index=pd.Index([1, 2], name="id"))
    error = refused(fm.SourceError, "FM0204", named, sqlite)
    assert "reset_index()" in error.help[0]
    refused(fm.SourceError, "FM0204", pd.DataFrame({"id": [1, 2]}, index=["a", "b"]), sqlite)
    fm.load(named.reset_index(), sqlite, table="t", key="id")
    # What is left when rows are filtered says nothing, and is left out.
    filtered = pd.DataFrame({"id": [1, 2, 3], "x": [1, 2, 9]})
    done = fm.load(filtered[filtered.id > 2], sqlite, table="t", key="id")
    assert done.rows.inserted == 1
    assert rows(sqlite, "t")[2] == {"id": 3, "x": 9}


def test_row_numbers_of_pandas_become_no_column(sqlite: str) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "x": [7, 9, 8]}).sort_values("x")
    assert type(frame.index).__name__ != "RangeIndex"
    fm.load(frame, sqlite, table="t", key="id")
    fm.load(pd.concat([frame, frame]), sqlite, table="t", key="id")
    assert rows(sqlite, "t") == [{"id": 1, "x": 7}, {"id": 2, "x": 9}, {"id": 3, "x": 8}]


def test_a_range_with_a_name_is_an_index_that_matters(sqlite: str) -> None:
    refused(fm.SourceError, "FM0204", pd.DataFrame({"x": [1, 2]}, index=pd.RangeIndex(2, name="id")), sqlite)


def test_what_pandas_has_for_nothing_is_null_and_arrays_are_json(sqlite: str) -> None:
    nothing = pd.DataFrame({"id": [1, 2], "x": pd.Series([pd.NA, "a"], dtype=object)})
    fm.load(nothing, sqlite, table="t", key="id")
    assert [row["x"] for row in rows(sqlite, "t")] == [None, "a"]
    arrays = pd.DataFrame({"id": [1, 2]})
    arrays["x"] = pd.Series([pd.array([1.5, 2.0]).to_numpy(), None], dtype=object)
    fm.load(arrays, sqlite, table="u", key="id")
    assert [row["x"] for row in rows(sqlite, "u")] == ["[1.5,2.0]", None]


@pytest.mark.parametrize("where", [lambda a: a, lambda a: iter([a]), lambda a: pa.chunked_array([a])])
def test_a_column_of_structs_is_no_table(sqlite: str, where: object) -> None:
    structs = pa.array([{"id": 1}, None])
    with pytest.raises((TypeError, fm.SourceError)) as error:
        fm.load(where(structs), sqlite, table="t", key="id")
    assert "no table" in str(error.value) or "no table" in str(error.value.__cause__)


class Masked:
    """Rows, one of which is NULL as a whole, by the interface of one array."""

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return pa.array([{"id": 1}, None]).__arrow_c_array__(requested_schema)


def test_rows_that_are_null_as_a_whole_are_refused(sqlite: str) -> None:
    error = refused(fm.SourceError, "FM0202", Masked(), sqlite)
    assert "NULL as a whole" in str(error.__cause__)


def test_a_path_is_no_flag(sqlite: str) -> None:
    fm.load([{"id": 1}], sqlite, table="t", key="id")
    with pytest.raises(fm.SourceError):
        fm.load(["nothing.csv", "--full-refresh"], sqlite, table="t", key="id")
    assert rows(sqlite, "t") == [{"id": 1}]


@pytest.mark.parametrize("wait", [-1, float("nan")])
def test_a_wait_that_is_none(sqlite: str, wait: float) -> None:
    with pytest.raises(ValueError, match="so many seconds"):
        fm.load([{"id": 1}], sqlite, table="t", key="id", wait=wait)


def test_what_a_function_raised_is_not_kept(sqlite: str, cli) -> None:
    def rows_of(since: object):
        raise OSError("https://api.example/?api_key=hunter2")
        yield

    with pytest.raises(fm.SourceError) as error:
        fm.load(fm.source(rows_of), sqlite, table="t", key="id")
    assert "hunter2" in str(error.value.__cause__)
    assert "OSError" in error.value.message and "hunter2" not in error.value.message
    assert "hunter2" not in cli("runs", "--destination", sqlite, "--format", "json")


def test_categories_are_their_values(sqlite: str) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "c": pd.Categorical(["a", None, "a"])})
    fm.load(frame, sqlite, table="t", key="id")
    fm.load(pl.DataFrame({"id": [4], "c": pl.Series(["b"], dtype=pl.Categorical)}), sqlite, table="t", key="id")
    assert [row["c"] for row in rows(sqlite, "t")] == ["a", None, "a", "b"]


@pytest.mark.parametrize("of", [pl.DataFrame, pa.Table.from_pydict, pd.DataFrame])
def test_a_column_without_a_type_gets_the_first_that_comes(sqlite: str, of: object) -> None:
    fm.load(of({"id": [1], "x": [None], "y": [1]}), sqlite, table="t", key="id")
    fm.load(of({"id": [2], "x": [7], "y": [1]}), sqlite, table="t", key="id")
    assert rows(sqlite, "t") == [{"id": 1, "x": None, "y": 1}, {"id": 2, "x": 7, "y": 1}]
    assert dict(fm.read(sqlite, "t").columns)["x"] == "bigint"


def test_nested_values_are_json(url: str) -> None:
    frame = pl.DataFrame({"id": [1, 2], "tags": [["a", "b"], None], "of": [{"n": 1}, {"n": None}]})
    fm.load(frame, url, table="t", key="id")
    fm.load([{"id": 3, "tags": ["a"], "of": {"n": 1}}], url, table="t", key="id")
    import json

    assert [row["tags"] and json.loads(row["tags"]) for row in rows(url, "t")] == [["a", "b"], None, ["a"]]
    assert [json.loads(row["of"]) for row in rows(url, "t")] == [{"n": 1}, {"n": None}, {"n": 1}]


def test_moments_with_and_without_a_time_zone(url: str) -> None:
    naive, aware = dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
    refused(fm.DataError, "FM0301", [{"id": 1, "at": naive}, {"id": 2, "at": aware}], url)
    fm.load(pl.DataFrame({"id": [1], "at": [naive]}), url, table="t", key="id")
    with pytest.raises(fm.FloodmarkError) as error:
        fm.load(pl.DataFrame({"id": [2], "at": [aware]}), url, table="t", key="id")
    assert error.value.code in ("FM0301", "FM0406")
    assert rows(url, "t") == [{"id": 1, "at": naive}]


def test_nan_is_what_arrow_says_it_is(sqlite: str) -> None:
    """pandas says that NaN is missing, and so it is NULL; to polars and Python it is a number of its own."""
    nan = float("nan")
    fm.load(pd.DataFrame({"id": [1], "x": [nan]}), sqlite, table="missing", key="id")
    assert rows(sqlite, "missing") == [{"id": 1, "x": None}]
    for data in (pl.DataFrame({"id": [1], "x": [nan]}), [{"id": 1, "x": nan}]):
        refused(fm.DataError, "FM0307", data, sqlite)


def test_empty_frames(url: str) -> None:
    empty = pd.DataFrame({"id": pd.Series([], dtype="int64"), "x": pd.Series([], dtype="float64")})
    assert fm.load(empty, url, table="t", key="id").status == "nothing_new"
    fm.load(pl.DataFrame({"id": [1], "x": [0.5]}), url, table="t", key="id")
    assert fm.load(empty, url, table="t", key="id").status == "nothing_new"
    assert fm.load([], url, table="t", key="id").status == "nothing_new"
    fm.load(pl.DataFrame({"id": [1], "x": [0.5]}), url, table="u", load="overwrite")
    with pytest.raises(fm.FloodmarkError) as error:
        fm.load(empty, url, table="u", load="overwrite")
    assert error.value.code == "FM0212"
    assert len(rows(url, "t")) == 1


@pytest.mark.parametrize("data", [[], pd.DataFrame(), iter(())], ids=["list", "frame", "generator"])
def test_nothing_yet_is_no_error(url: str, data: object) -> None:
    """An interface may have no rows before the first, and then no columns either."""
    done = fm.load(data, url, table="t", key="id", watermark="at")
    assert (done.status, done.rows.read) == ("nothing_new", 0)
    with pytest.raises(fm.FloodmarkError):
        fm.load([], url, table="t", load="overwrite")
    assert fm.load([{"id": 1, "at": 1}], url, table="t", key="id", watermark="at").rows.inserted == 1


def test_rows_that_come_first_must_have_the_key(sqlite: str) -> None:
    refused(fm.FloodmarkError, "FM0404", pl.DataFrame({"x": [1]}), sqlite)


def test_what_has_no_rows(sqlite: str) -> None:
    for data in (7, "nothing.csv.d", pl.LazyFrame({"id": [1]})):
        with pytest.raises((TypeError, fm.FloodmarkError)):
            fm.load(data, sqlite, table="t", key="id")
    with pytest.raises(TypeError, match="one row or the columns"):
        fm.load({"id": [1, 2]}, sqlite, table="t", key="id")
    for series in (pd.Series([1]), pl.Series([1])):
        with pytest.raises(TypeError, match="to_frame"):
            fm.load(series, sqlite, table="t", key="id")
    for column in (pd.period_range("2024-01", periods=1, freq="M"), pd.interval_range(0, 1), [1 + 2j]):
        error = refused(fm.SourceError, "FM0208", pd.DataFrame({"id": [1], "x": column}), sqlite)
        assert "df['x']" in error.help[0]
    refused(fm.DataError, "FM0301", [{"id": 1, "x": object()}], sqlite)
    refused(fm.DataError, "FM0301", [{"id": 1, "x": dt.timedelta(1)}], sqlite)
    refused(fm.SourceError, "FM0208", [1, 2], sqlite)
    refused(fm.SourceError, "FM0208", pl.DataFrame({"id": [1], "x": [dt.timedelta(1)]}), sqlite)


def test_columns_without_a_type_in_frames_that_come_one_by_one(sqlite: str) -> None:
    nothing, something = pl.DataFrame({"id": [1], "x": [None]}), pl.DataFrame({"id": [2], "x": [7]})
    assert fm.load(iter([something, nothing]), sqlite, table="t", key="id").rows.inserted == 2
    assert rows(sqlite, "t") == [{"id": 1, "x": None}, {"id": 2, "x": 7}]
    # The first says what the columns are, unless the table does, or the caller.
    assert fm.load(iter([nothing, something.with_columns(x=8)]), sqlite, table="t", key="id").rows.updated == 1
    for of in (lambda frame: frame, lambda frame: pa.table({name: frame[name].to_list() for name in frame.columns})):
        error = refused(fm.SourceError, "FM0208", map(of, [nothing, something]), sqlite + "2")
        assert "no type in the first batch" in error.message and error.place.column == "x"
    done = fm.load(iter([nothing, something]), sqlite, table="u", key="id", columns={"x": "bigint"})
    assert done.rows.inserted == 2 and rows(sqlite, "u")[1] == {"id": 2, "x": 7}
    only = pl.DataFrame({"x": [None, None]})
    fm.load(only, sqlite, table="v", load="overwrite")
    assert rows(sqlite, "v") == [{"x": None}, {"x": None}]


def test_frames_of_a_function_are_looked_at_as_others_are(sqlite: str) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "x": [7, 9, 8]})

    @fm.source
    def t(since):
        return frame[frame["x"] > 7]

    @fm.source
    def u(since):
        yield frame[frame["x"] > 7]
        yield frame[frame["x"] <= 7]

    fm.load(t, sqlite, key="id")
    fm.load(u, sqlite, key="id")
    assert [name for name, _ in fm.read(sqlite, "t").columns] == [name for name, _ in fm.read(sqlite, "u").columns] == ["id", "x"]
    named = fm.source(lambda since: frame.set_index("id"), name="named")
    with pytest.raises(fm.SourceError) as error:
        fm.load(named, sqlite, key="id")
    assert "reset_index" in str(error.value.__cause__)


@pytest.mark.parametrize("raised", [SystemExit(7), asyncio.CancelledError(), KeyboardInterrupt()], ids=lambda raised: type(raised).__name__)
def test_what_is_no_error_goes_through_as_it_is(url: str, raised: BaseException) -> None:
    def made():
        yield pa.table({"id": range(20_000)})
        raise raised

    with pytest.raises(type(raised)) as found:
        fm.load(made(), url, table="t", key="id")
    assert found.value is raised or isinstance(found.value, fm.Interrupted)
    with pytest.raises(fm.SourceError):
        fm.read(url, "t")
    assert fm.load([{"id": 1}], url, table="t", key="id").rows.inserted == 1


def test_rows_of_a_function_come_in_the_order_of_what_it_returns(sqlite: str) -> None:
    import duckdb

    tied = "SELECT * FROM (VALUES (1, 1), (1, 2)) AS t(id, n)"

    @fm.source
    def t(since):
        return duckdb.sql(tied)

    @fm.source
    def u(since):
        yield duckdb.sql(tied)

    for function in (t, u):
        with pytest.raises(fm.SourceError) as error:
            fm.load(function, sqlite, key="id")
        assert error.value.code == "FM0213"


def test_batches_of_other_columns(sqlite: str) -> None:
    first, more = pa.table({"id": [1], "x": [1]}), pa.table({"x": [2], "id": [2]})
    assert fm.load(iter([first, more]), sqlite, table="ok", key="id").rows.inserted == 2
    refused(fm.SourceError, "FM0204", iter([first, pa.table({"id": [2]})]), sqlite)
    refused(fm.SourceError, "FM0204", iter([first, pa.table({"id": [2], "x": [1], "y": [1]})]), sqlite)


def test_what_fails_while_rows_are_made(url: str) -> None:
    def made():
        yield {"id": 1}
        raise ValueError("the page is gone")

    with pytest.raises(fm.SourceError) as error:
        fm.load(made(), url, table="t", key="id")
    assert error.value.code == "FM0202" and isinstance(error.value.__cause__, ValueError)
    with pytest.raises(fm.SourceError):
        fm.read(url, "t")


def test_settings_are_told_as_keywords(sqlite: str) -> None:
    with pytest.raises(TypeError, match="no setting 'kee'; did you mean 'key'"):
        fm.load([{"id": 1}], sqlite, table="t", kee="id")
    with pytest.raises(TypeError, match="no table is named"):
        fm.load([{"id": 1}], sqlite, key="id")
    error = refused(fm.ConfigError, "FM0106", [{"id": 1}], sqlite, key=None, load="append")
    assert "append=\"at_least_once\"" in error.help[0] and "--" not in str(error)
    error = refused(fm.ConfigError, "FM0106", [{"id": 1}], sqlite, delimiter=";")
    assert error.message == "delimiter says how a file or a database is read"
    with pytest.raises(fm.ConfigError) as several:
        fm.load([{"id": 1}], "oracle://x", table="t", key="id", on_null="maybe")
    assert len(several.value.mistakes) == 2
    with pytest.raises(fm.ConfigError) as text:
        fm.load([{"id": 1, "at": "5"}], sqlite, table="t", key="id", watermark="at")
    assert 'columns={"at": "timestamp"}' in text.value.help[0]
    bare = refused(fm.ConfigError, "FM0107", [{"id": 1}], sqlite, key=None)
    assert "give key" in bare.help[0]


def hostile(kind: pa.DataType, valid: bool = True) -> pa.Table:
    """A text column whose second row is no text, as a library may hand it over that looks at nothing."""
    offsets = pa.array([0, 2, 5, 6], pa.int64() if kind == pa.large_string() else pa.int32()).buffers()[1]
    validity = pa.array([True, valid, True]).buffers()[1]
    x = pa.Array.from_buffers(kind, 3, [validity, offsets, pa.py_buffer(b"ok\xff\xfe!x")])
    return pa.table({"id": [1, 2, 3], "x": x})


@pytest.mark.parametrize("destination", ["sqlite", "duck"])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_a_text_that_is_none_is_told_with_its_column(destination: str, kind: pa.DataType, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(destination)
    error = refused(fm.SourceError, "FM0202", hostile(kind), url)
    assert 'column "x": the text of its row 2 is not UTF-8' in str(error.__cause__ or "") + str(error)
    # What stands where there is no value is nobody's.
    assert fm.load(hostile(kind, valid=False), url, table="t", key="id").rows.inserted == 3
    assert [row["x"] for row in rows(url, "t")] == ["ok", None, "x"]


def test_a_text_that_is_none_within_others_is_told(sqlite: str) -> None:
    inner = hostile(pa.string()).column("x").combine_chunks()
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), inner)
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), inner, safe=False)
    for column in (lists, words):
        error = refused(fm.SourceError, "FM0202", pa.table({"id": [1, 2, 3], "x": column}), sqlite)
        assert 'column "x"' in str(error.__cause__ or "") + str(error)


def test_an_object_column_of_moments_with_and_without_a_time_zone(sqlite: str) -> None:
    naive, aware = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01", tz="Asia/Tokyo")
    error = refused(fm.DataError, "FM0301", pd.DataFrame({"id": [1, 2], "x": pd.Series([naive, aware], dtype=object)}), sqlite)
    assert error.message == "column 'x' holds Timestamp without a time zone (row 1) and Timestamp with a time zone (row 2)"
    zones = pd.Series([aware, pd.Timestamp("2024-01-01", tz="UTC")], dtype=object)
    fm.load(pd.DataFrame({"id": [1, 2], "x": zones}), sqlite, table="t", key="id")
    assert [row["x"] for row in rows(sqlite, "t")] == list(zones)


def test_a_time_of_day_with_a_time_zone(sqlite: str) -> None:
    aware = dt.time(1, tzinfo=dt.timezone(dt.timedelta(hours=5)))
    for data in (pd.DataFrame({"id": [1], "x": [aware]}), [{"id": 1, "x": aware}]):
        error = refused(fm.DataError, "FM0301", data, sqlite)
        assert "a time of day with a time zone" in error.message


def test_what_polars_would_hand_over_as_something_else(sqlite: str) -> None:
    """Of objects polars gives where they are in memory; of whole numbers of 128 bits a type that nobody else knows."""
    error = refused(fm.SourceError, "FM0208", pl.DataFrame({"id": [1], "x": [object()]}), sqlite)
    assert error.message == "column 'x' is of type Object, which no database has"
    large = pl.DataFrame({"id": [1], "x": [2**100]}, schema_overrides={"x": pl.Int128})
    assert "pl.Decimal(38, 0)" in refused(fm.SourceError, "FM0208", large, sqlite).help[0]
    fm.load(large.with_columns(pl.col("x").cast(pl.Decimal(38, 0))), sqlite, table="t", key="id")
    assert rows(sqlite, "t") == [{"id": 1, "x": decimal.Decimal(2**100)}]


@pytest.mark.parametrize("of", [pd.DataFrame, pl.DataFrame, pa.table, lambda columns: [{"id": 1, "a\0b": 1}]])
def test_a_name_with_a_nul_character(sqlite: str, of: object) -> None:
    error = refused(fm.SourceError, "FM0204", of({"id": [1], "a\0b": [1]}), sqlite)
    assert "NUL" in error.message


def test_a_name_with_a_nul_character_within_others(sqlite: str) -> None:
    for inner in ({"a\0b": 1}, [{"a\0b": 1}], {"a": [{"a\0b": 1}]}):
        refused(fm.SourceError, "FM0204", pl.DataFrame({"id": [1], "x": [inner]}), sqlite)


def test_what_duckdb_would_hand_over_without_a_part(sqlite: str) -> None:
    import duckdb

    for value in ("'10:00:00+02'::TIMETZ", "'101'::BIT", "['101'::BIT]"):
        error = refused(fm.SourceError, "FM0208", duckdb.sql(f"SELECT 1 AS id, {value} AS x"), sqlite)
        assert '"x"::VARCHAR' in error.help[0]
    fm.load(duckdb.sql("SELECT 1 AS id, '10:00:00+02'::TIMETZ::VARCHAR AS x"), sqlite, table="t", key="id")
    assert rows(sqlite, "t") == [{"id": 1, "x": "10:00:00+02"}]
