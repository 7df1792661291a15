"""What may be handed over, and as what it is read."""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import _values

_PANDAS = ("pandas", "DataFrame")
# Objects whose rows are there as long as they are, by package and class. Of any other Arrow stream nobody can say whether
# it gives its rows once more: it is read once.
_LASTING = {
    _PANDAS,
    ("polars", "DataFrame"),
    ("pyarrow", "Table"),
    ("pyarrow", "RecordBatch"),
    ("floodmark", "Read"),
}
_RELATIONS = {("duckdb", "DuckDBPyRelation"), ("_duckdb", "DuckDBPyRelation")}
_LASTING |= _RELATIONS
# Of these nothing says in which order their rows come.
_UNORDERED = {"duckdb", "_duckdb", "floodmark"}
# One column of structs, of which one that is NULL would come out as a row of what lies beneath.
_COLUMNS = {("pyarrow", "ChunkedArray"), ("pyarrow", "StructArray")}

# What state the data is in where rows are refused before a run begins.
_NOTHING = "nothing was written"

# What `open` gives: `stream` with an object of Arrow's interface, `batches` with an iterator over these, or `rows` with one
# over dicts; and whether the order of the rows means something. Of Arrow's the names of columns go with it that have no type:
# whatever type they come with, they are nothing but null.
Opened = tuple[str, Any, bool]


class Rows:
    """Rows to load: read by the engine."""

    def __init__(
        self,
        name: str,
        open: Callable[[tuple[str, str] | None], Opened],
        *,
        again: bool = False,
        positioned: bool = False,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.open = open
        self.again = again
        # What it gives depends on the position it is asked for.
        self.positioned = positioned
        # Columns that are given a type: their values may be of several kinds.
        self.typed = list(columns or ())
        # Of these, what is to be the text of each value.
        self.texts = [name for name, of in (columns or {}).items() if of == "text"]


class Source:
    """A function that makes rows, with the position to begin at; see :func:`source`."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


def source(function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
    """Makes a source of a function: it is called with the position at which reading begins (the watermark, less
    ``lookback``; None on a first run) and returns or yields rows: dicts, lists of them, or anything with Arrow's
    interface.

    >>> @fm.source
    ... def orders(since):
    ...     for page in api.orders(updated_since=since):
    ...         yield page["items"]
    >>> fm.load(orders, "sqlite:///shop.db", key="id", watermark="updated_at")

    Rows at and behind the position may be given again: they are recognised. The position is asked for while the pipeline
    is locked, so that no other run moves it meanwhile.
    """
    if function is None:
        return lambda function: Source(function, name or function.__name__)
    return Source(function, name or function.__name__)


def rows_of(data: Any, columns: Mapping[str, str] | None) -> Rows:
    """What is read of something that was handed over."""
    if isinstance(data, Source):
        # It is called again where a run begins anew.
        made = lambda at: _opened(data.function(_values.position(at)), data.name)
        return Rows(data.name, made, again=True, positioned=True, columns=columns)
    kind = _kind(data)
    if kind[1] == "Series":
        raise TypeError("a Series is one column and no table: hand over series.to_frame()")
    if kind == _PANDAS or has_arrow(data):
        # What it is is looked at once, whatever the number of times it is read.
        opened = _opened(data, kind[1])
        name = "dataframe" if kind[1] == "DataFrame" else kind[1]
        open = lambda _: ("rows", _records(data), True) if opened[0] == "rows" else opened
        return Rows(name, open, again=kind in _LASTING, columns=columns)
    if isinstance(data, Mapping):
        if data and all(isinstance(value, (list, tuple)) for value in data.values()):
            raise TypeError(
                "a dict of lists may be one row or the columns of a table: hand over [data] for a row, and a data frame "
                "(pandas.DataFrame(data), polars.DataFrame(data), pyarrow.table(data)) for columns"
            )
        return Rows("rows", lambda _: _opened(data, "rows"), again=True, columns=columns)
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise TypeError(_unknown(data))
    return Rows("rows", lambda _: _opened(data, "rows"), again=isinstance(data, (list, tuple)), columns=columns)


def _kind(data: Any) -> tuple[str, str]:
    """Package and class."""
    return type(data).__module__.partition(".")[0], type(data).__name__


def has_arrow(data: Any) -> bool:
    """Whether it has Arrow's interface."""
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")


def _has_pyarrow() -> bool:
    """pandas has Arrow's interface by it, and not without."""
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        return False
    return True


def _records(frame: Any) -> Iterator[dict[str, Any]]:
    """Rows of a frame as dicts, some at a time. What pandas says is missing is None, as it is on the way through Arrow."""
    for at in range(0, len(frame), 16_384):
        for row in frame.iloc[at : at + 16_384].to_dict("records"):
            yield {name: None if value is not None and _missing(value) else value for name, value in row.items()}


def _missing(value: Any) -> bool:
    return isinstance(value, float) and value != value


def _unknown(data: Any) -> str:
    text = f"a {type(data).__name__} has no rows that can be loaded: hand over a data frame, anything with Arrow's interface "
    text += "(__arrow_c_stream__), dicts, or a generator of these"
    if hasattr(data, "collect"):
        text += "; this looks like a query that is not run yet: call its collect() first"
    return text


def _opened(data: Any, name: str) -> Opened:
    """Rows that come one after the other: the first says what they are."""
    if _rowwise(data):
        return "rows", _records(_sound(data)), True
    if has_arrow(data):
        return "stream", _arrow(data), _kind(data)[0] not in _UNORDERED
    if isinstance(data, Mapping):
        return "rows", iter([data]), True
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        raise TypeError(f"{name}: {_unknown(data)}")
    iterator = iter(data)
    for first in iterator:
        rest = itertools.chain([first], iterator)
        if _rowwise(first):
            return "rows", itertools.chain.from_iterable(_records(_sound(frame)) for frame in rest), True
        if has_arrow(first):
            return "batches", map(_arrow, rest), _kind(first)[0] not in _UNORDERED
        if isinstance(first, (list, tuple)):
            # Of pages the first may be empty, and says nothing then.
            return "rows", itertools.chain.from_iterable(_pages(rest)), True
        return "rows", rest, True
    return "rows", iter(()), True


def _rowwise(data: Any) -> bool:
    """A frame of pandas where nothing makes Arrow's columns of it."""
    return _kind(data) == _PANDAS and not (has_arrow(data) and _has_pyarrow())


def _arrow(data: Any) -> tuple[Any, list[str]]:
    """An object with Arrow's interface, and which of its columns have no type."""
    kind = _kind(data)
    if kind == _PANDAS:
        return _unnumbered(_sound(data)), []
    if kind == ("polars", "DataFrame"):
        _sound_polars(data)
        # Arrow takes no column without a type as polars gives it.
        typeless = [name for name, of in data.schema.items() if str(of) == "Null"]
        return (data.with_columns(**{name: data[name].cast(bool) for name in typeless}) if typeless else data), typeless
    if kind in _RELATIONS:
        _sound_relation(data)
    schema = getattr(data, "schema", None)
    if kind[0] == "pyarrow" and schema is not None:
        _sound_names(schema.names)
    return _table(data), []


def _unnumbered(frame: Any) -> Any:
    """A frame of pandas without the numbers of rows that were sorted or left out: Arrow's interface would make a column of
    them."""
    return frame if type(frame.index).__name__ == "RangeIndex" else frame.reset_index(drop=True)


def _table(data: Any) -> Any:
    """The same, if it has columns."""
    if _kind(data) in _COLUMNS:
        raise TypeError(f"a pyarrow.{type(data).__name__} is one column and no table: hand over a pyarrow.Table")
    return data


def _pages(pages: Iterator[Any]) -> Iterator[Any]:
    for page in pages:
        if not isinstance(page, (list, tuple)):
            raise TypeError(f"pages of rows are lists of dicts, and one is a {type(page).__name__}")
        yield page


def _sound_names(names: Iterable[str]) -> None:
    """Names reach Arrow as text that ends at NUL: another name would be loaded, or the process would end."""
    from ._errors import SourceError

    for name in names:
        if "\0" in name:
            raise SourceError(
                f"the name {name!r} holds a NUL character",
                code="FM0204",
                state=_NOTHING,
                help=("rename it before the rows are handed over",),
            )


def _sound_polars(frame: Any) -> None:
    """Refuses what polars would hand over as something else: of objects, where in memory they are."""
    from ._errors import SourceError

    _sound_names(frame.columns)
    for name, of in frame.schema.items():
        _sound_names(_inner_names(of))
        instead = _NOT_OF_POLARS.get(str(of))
        if instead is not None:
            raise SourceError(
                f"column {name!r} is of type {of}, which no database has",
                code="FM0208",
                state=_NOTHING,
                help=(instead.format(f"pl.col({name!r})"),),
            )


def _inner_names(of: Any) -> Iterator[str]:
    """Names of fields within a type of polars."""
    for field in getattr(of, "fields", ()):
        yield field.name
        yield from _inner_names(field.dtype)
    if getattr(of, "inner", None) is not None:
        yield from _inner_names(of.inner)


_NOT_OF_POLARS = {
    "Object": "make it text ({0}.map_elements(str, return_dtype=pl.String)), or numbers",
    "Int128": "make it a decimal: {0}.cast(pl.Decimal(38, 0))",
    "UInt128": "make it a decimal: {0}.cast(pl.Decimal(38, 0))",
}


def _sound_relation(relation: Any) -> None:
    """Refuses what DuckDB's package hands over without a part of it."""
    from ._errors import SourceError

    for name, of in zip(relation.columns, map(str, relation.types)):
        # Of arrays the type of what is in them.
        if of.rstrip("[]0123456789") in ("TIME WITH TIME ZONE", "BIT"):
            raise SourceError(
                f"column {name!r} is of type {of}, of which not all would be handed over",
                code="FM0208",
                state=_NOTHING,
                help=(f'make it text in the query: "{name}"::VARCHAR',),
            )


# Of these pandas would hand over numbers that say something else, or nothing.
_ELSE = {
    "period": "make it a timestamp ({0}.dt.to_timestamp()) or text ({0}.astype(str))",
    "interval": "make it text ({0}.astype(str)), or two columns of its ends",
    "c": "make it two columns: {0}.map(lambda z: z.real), {0}.map(lambda z: z.imag)",
}


def _sound(frame: Any) -> Any:
    """The same frame of pandas. What would be changed, lost or refused on its way to Arrow is refused before, and in words of
    the frame."""
    from ._errors import DataError, SourceError

    if _kind(frame) != _PANDAS:
        raise TypeError(f"frames came before, and now a {type(frame).__name__}")

    nothing = _NOTHING
    names = list(frame.columns)
    if getattr(frame.columns, "nlevels", 1) > 1:
        raise SourceError(
            "the columns have several levels",
            code="FM0204",
            state=nothing,
            help=('give each one name: df.columns = ["_".join(map(str, name)) for name in df.columns]',),
        )
    for at, name in enumerate(names):
        if not isinstance(name, str):
            raise SourceError(
                f"column {at + 1} is called {name!r}, which is no text",
                code="FM0204",
                state=nothing,
                help=("name the columns by str: df.columns = df.columns.map(str)",),
            )
        _sound_names([name])
        if name in names[:at]:
            raise SourceError(
                f"columns {names.index(name) + 1} and {at + 1} are both called {name!r}",
                code="FM0204",
                state=nothing,
                help=("rename one of them before the frame is handed over",),
            )
    index = frame.index
    # The index that pandas gives every frame says nothing; one that was set is a column of the data.
    if any(name is not None for name in index.names) or (
        type(index).__name__ != "RangeIndex" and index.dtype.kind not in "iu"
    ):
        called = ", ".join(repr(name) for name in index.names)
        raise SourceError(
            f"the frame has an index ({called}), which is no column and would not be loaded",
            code="FM0204",
            state=nothing,
            help=("make it a column: df.reset_index()", "or leave it out: df.reset_index(drop=True)"),
        )
    for name in names:
        column = frame[name]
        instead = _ELSE.get(getattr(column.dtype, "kind", "")) or _ELSE.get(str(column.dtype).partition("[")[0])
        if instead is not None:
            raise SourceError(
                f"column {name!r} is of type {column.dtype}, which no database has",
                code="FM0208",
                state=nothing,
                help=(instead.format(f"df[{name!r}]"),),
            )
        if str(column.dtype) == "object":
            _one_kind(name, column, DataError, nothing)
    return frame


def _one_kind(name: str, column: Any, error: type, nothing: str) -> None:
    """An object column may hold anything; one type of Arrow may not."""
    first: dict[str, int] = {}
    for row, value in enumerate(column, 1):
        # Only a number is asked whether it is NaN: pandas' NA has no answer, and an array has several.
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            continue
        if isinstance(value, float) and value != value:
            continue
        if isinstance(value, dt.time) and value.utcoffset() is not None:
            raise error(
                f"column {name!r} holds a time of day with a time zone (row {row}), which no database has",
                code="FM0301",
                state=nothing,
                help=(f"make its values text: df[{name!r}].astype(str)",),
            )
        first.setdefault(_called(value), row)
        if len(first) > 1:
            (one, at), (other, then) = list(first.items())[:2]
            raise error(
                f"column {name!r} holds {one} (row {at}) and {other} (row {then})",
                code="FM0301",
                state=nothing,
                help=(
                    f"make its values of one kind, such as df[{name!r}].astype(str)",
                    "or hand over dicts (df.to_dict('records')), whose numbers and times are widened where that loses nothing",
                ),
            )


def _called(value: Any) -> str:
    """The kind of a value. A moment in a zone is none without: Arrow would take one for the other."""
    if isinstance(value, dt.datetime):
        return f"{type(value).__name__} {'without' if value.utcoffset() is None else 'with'} a time zone"
    return type(value).__name__
