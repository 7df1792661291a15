"""Loads of rows that a program has, and tables as rows."""

from __future__ import annotations

import contextlib
import difflib
import os
import threading
from collections.abc import Iterator
from typing import Any

from . import _errors, _floodmark, _values
from ._data import Source, rows_of
from ._results import Result
from ._run import Listener, Progress, ended, program

_FLAGS = dict(_floodmark.flags())
# Files that loads of this thread write to.
_written = threading.local()


@contextlib.contextmanager
def _alone(url: str) -> Iterator[None]:
    """A file has one writer at a time. A load that is called by the source of another one, or by who is told its progress, would
    wait for that one, and that one for it."""
    files: list[str] = getattr(_written, "files", [])
    if url in files:
        raise _errors.DestinationError(
            "the load that calls this one is writing to the same file",
            code="FM0403",
            state="nothing was read or written",
            help=("load the one after the other: not in a function that hands over rows or is told of progress",),
        )
    _written.files = [*files, url] if url.startswith(("sqlite:", "duckdb:")) else files
    try:
        yield
    finally:
        _written.files = files


def load(
    data: Any,
    url: str,
    *,
    table: str | None = None,
    key: str | list[str] | None = None,
    watermark: str | None = None,
    load: str | None = None,
    version: str | None = None,
    columns: dict[str, str] | None = None,
    pipeline: str | None = None,
    full_refresh: bool = False,
    wait: bool | float = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Result:
    """Loads rows into a table, so that doing it again does no harm.

    ``data`` is a pandas, polars or pyarrow table, a DuckDB relation, anything with Arrow's C stream interface, dicts, an
    iterable of dicts or of Arrow batches, a function marked by :func:`source`; or a path or pattern of files. Frames are
    read in place: of their rows, no more is copied than is on its way.

    ``url`` is ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``duckdb:///relative.duckdb``,
    ``postgres://user@host/database`` or ``mysql://user@host/database``. ``load`` is ``"upsert"`` (the default with a ``key``),
    ``"append"``, ``"overwrite"``, ``"insert_only"``, ``"delete_insert"`` or ``"scd2"``. These and the other settings are those
    of ``floodmark load``, with underscores: ``on_null="keep"``, ``start=date(2024, 1, 1)``, ``on_bad_row="reject"``;
    ``floodmark load --help`` lists them. State is kept under ``pipeline`` (by default the table's name), where
    the command line finds it.

    ``wait``: while another run holds the pipeline, for ever (True) or so many seconds. ``progress=True`` shows how far
    it is, on standard error; a function is called with events, as dicts with a ``kind``, on the thread that called.

    Returns what became of the rows. Raises a :class:`FloodmarkError`, of a class that says which kind; its ``code``,
    ``state`` and ``help`` say what to do.
    """
    given: dict[str, Any] = {"table": table, "key": key, "watermark": watermark, "load": load, "version": version}
    given |= {"pipeline": pipeline, **settings}
    if isinstance(data, (str, os.PathLike)) or _paths(data):
        return _files(data, url, given, columns, full_refresh, wait, progress)
    rows = rows_of(data, columns)
    if table is None:
        given["table"] = _table(data)
    flags = _flags(given, columns) + [("url", url)]
    listener = Listener(progress, settings=True)
    seconds = None if wait is True else float(wait)
    with _alone(url):
        code, raised, cause = _floodmark.load(
            rows, flags, program(), listener, listener.watched, seconds, bool(full_refresh)
        )
    ended(listener, code, raised, cause)
    return Result(listener.objects[-1])


def _table(data: Any) -> str:
    if isinstance(data, Source):
        return data.name
    raise TypeError("no table is named: give table=\"orders\"")


def _paths(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and bool(data) and all(isinstance(one, (str, os.PathLike)) for one in data)


def _flags(given: dict[str, Any], columns: dict[str, str] | None) -> list[tuple[str, str]]:
    """Settings as flags of the command line."""
    flags = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if flag not in _FLAGS:
            near = difflib.get_close_matches(flag, _FLAGS, 1)
            hint = f"; did you mean {near[0].replace('-', '_')!r}?" if near else ""
            raise TypeError(f"load() has no setting {name!r}{hint}")
        if value is None:
            continue
        if name == "append" and value is True:
            raise TypeError('append="at_least_once" is the only one there is')
        many = value if isinstance(value, (list, tuple)) else [value]
        flags += [(flag, _values.setting(one)) for one in many]
    for column, of in (columns or {}).items():
        flags.append(("column", f"{column}={of}"))
    return flags


def _files(
    data: Any,
    url: str,
    given: dict[str, Any],
    columns: dict[str, str] | None,
    full_refresh: bool,
    wait: bool | float,
    progress: Progress | None,
) -> Result:
    """Files are loaded as the command line loads them: each once."""
    paths = [data] if isinstance(data, (str, os.PathLike)) else data
    args = ["load"]
    for flag, value in _flags(given, columns):
        args.append(f"--{flag}={value}")
    if full_refresh:
        args.append("--full-refresh")
    if wait is True:
        args.append("--wait")
    elif wait:
        args.append(f"--wait={float(wait):g}s")
    # A path that looks like a flag is a path.
    args += ["--", *map(os.fspath, paths), url]
    listener = Listener(progress, settings=True)
    code, raised, cause = _floodmark.command(args, program(), listener, listener.watched)
    ended(listener, code, raised, cause)
    return Result(listener.objects[-1])


def read(url: str, table: str | None = None, *, query: str | None = None) -> _floodmark.Read:
    """A table or a query as an Arrow stream, for whatever reads one: ``polars.DataFrame``, ``pyarrow.table``,
    ``pandas.DataFrame.from_arrow`` (pandas 3), DuckDB. Rows are read when they are asked for, batch by batch and in one transaction,
    and anew each time.
    """
    if (table is None) == (query is None):
        raise TypeError("give the name of a table, or query=\"SELECT …\"")
    return _floodmark.read(url, table, query)
