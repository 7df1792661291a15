"""Values between the engine and Python."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any, Mapping

_EPOCH = dt.datetime(1970, 1, 1)


def position(at: tuple[str, str] | None) -> Any:
    """A value of the watermark's column."""
    if at is None:
        return None
    kind, text = at
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind == "decimal":
        return Decimal(text)
    if kind == "date":
        return (_EPOCH + dt.timedelta(days=int(text))).date()
    if kind == "timestamp":
        return _EPOCH + dt.timedelta(microseconds=int(text))
    if kind == "timestamptz":
        return _EPOCH.replace(tzinfo=dt.timezone.utc) + dt.timedelta(microseconds=int(text))
    return text


def nested(value: Any) -> str:
    """A list or a mapping as JSON text. What JSON has no word for is its text."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def setting(value: Any) -> str:
    """A setting as the command line has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.timedelta):
        seconds = value / dt.timedelta(seconds=1)
        if seconds < 0 or seconds != int(seconds):
            raise ValueError(f"a duration of whole seconds is needed, and this is {value!r}")
        return f"{int(seconds)}s"
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    return str(value)
