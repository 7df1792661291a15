"""Results, as `--format json` has them, and as a notebook shows them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from html import escape
from typing import Any, Iterator, Mapping


@dataclass(frozen=True)
class Rows:
    """Rows by what became of them: ``read`` (with a transform, ``transformed``, which is None without one) is the sum of the
    others but ``removed``."""

    read: int = 0
    transformed: int | None = None
    skipped: int = 0
    rejected: int = 0
    superseded: int = 0
    stale: int = 0
    unchanged: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    delete_noop: int = 0
    removed: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, Any]) -> Rows:
        """From the counts of a result."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: n for name, n in counts.items() if name in known})

    @property
    def changed(self) -> int:
        """Rows of the table that are not what they were."""
        return self.inserted + self.updated + self.deleted + self.removed


@dataclass(frozen=True)
class Watermark:
    """How the watermark moved. Values are texts, exact to the last digit."""

    column: str
    before: str | None
    after: str | None


class Result(Mapping[str, Any]):
    """What became of a command for one pipeline: the object that `--format json` prints, with names for what most results
    have. Everything else is there by key: ``result["backfill"]``."""

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = dict(value)

    def __getitem__(self, key: str) -> Any:
        return self._value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return str(self._value["pipeline"])

    @property
    def run(self) -> str | None:
        """The run's id in the ledger."""
        return self._value.get("run")

    @property
    def status(self) -> str | None:
        """``ok``, ``nothing_new``, ``failed``, ``busy``; other commands have words of their own."""
        return self._value.get("status")

    @property
    def load(self) -> str | None:
        """The load strategy."""
        return self._value.get("load")

    @property
    def rows(self) -> Rows:
        """Rows by what became of them, where rows were loaded."""
        counts = self._value.get("rows")
        if not isinstance(counts, Mapping) or "read" not in counts:
            raise AttributeError("these are no rows that were loaded: see what result['rows'] has")
        return Rows.of(counts)

    @property
    def watermark(self) -> Watermark | None:
        """How the watermark moved, where there is one."""
        mark = self._value.get("watermark")
        return Watermark(mark["column"], mark["before"], mark["after"]) if mark and "after" in mark else None

    @property
    def seconds(self) -> float | None:
        """Wall time."""
        return self._value.get("seconds")

    def __repr__(self) -> str:
        pipeline, status = self._value.get("pipeline", ""), self.status
        parts = [f"{pipeline}: {status}".strip(": ") if status else str(pipeline)]
        rows = self._value.get("rows")
        if isinstance(rows, Mapping):
            told = ", ".join(f"{name} {n:,}" for name, n in rows.items() if n)
            parts.extend([told or "no rows"] if told or "read" in rows else [])
        if self.watermark is not None:
            parts.append(f"{self.watermark.column} {self.watermark.before} → {self.watermark.after}")
        parts.extend(_facts(self._value))
        if self.seconds is not None:
            parts.append(f"{self.seconds} s")
        return f"<floodmark {' · '.join(parts)}>"

    def _repr_html_(self) -> str:
        rows = self._value.get("rows")
        title = f"<b>{escape(str(self._value.get('pipeline', '')))}</b> {escape(str(self.status or ''))}"
        if self.seconds is not None:
            title += f" <span style='opacity:.6'>in {self.seconds} s</span>"
        out = [f"<div>{title}</div>"]
        if isinstance(rows, Mapping) and "read" in rows:
            out.append(_picture(self.rows))
        if self.watermark is not None:
            mark = self.watermark
            out.append(
                f"<div>watermark <code>{escape(mark.column)}</code>: "
                f"{escape(str(mark.before))} → <b>{escape(str(mark.after))}</b></div>"
            )
        out.extend(f"<div>{escape(fact)}</div>" for fact in _facts(self._value))
        return "".join(out)


def _facts(value: Mapping[str, Any]) -> list[str]:
    """What there is to say of results that are more than rows that were loaded, or are none: of commands other than `run`."""
    facts = []
    if "known" in value:
        facts.append(f"table {value['table']}" if value["known"] else "not loaded yet")
    mark = value.get("watermark")
    if isinstance(mark, Mapping) and "value" in mark:
        facts.append(f"{mark['column']} up to {mark['value']}")
    if isinstance(value.get("files"), list) and value["files"]:
        facts.append(_count(len(value["files"]), "file"))
    if isinstance(value.get("table"), Mapping) and "rows" in value["table"]:
        facts.append(f"{_count(value['table']['rows'], 'row')} in the table")
    if isinstance(value.get("intervals"), list):
        facts.append(f"{_count(len(value['intervals']), 'interval')} in, {len(value.get('missing') or ())} missing")
    filled = value.get("backfill")
    if isinstance(filled, Mapping) and "loaded" in filled:
        facts.append(f"{filled['loaded']} of {_count(filled['intervals'], 'interval')} loaded")
    trials = [(trial["verdict"].replace("_", " "), trial["promise"]) for trial in value.get("trials") or ()]
    for verdict in dict.fromkeys(verdict for verdict, _ in trials):
        facts.append(f"{verdict} {' '.join(dict.fromkeys(promise for of, promise in trials if of == verdict))}")
    for kind in ("errors", "warnings"):
        facts.extend(f"{kind[:-1]}: {one['message']}" for one in value.get(kind) or () if "message" in one)
    if "started_at" in value:
        facts.append(f"started {value['started_at']}")
    return facts


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


# What was written is in colours, what was left as it was is in greys, and what needs a look is red.
_COLOURS = {
    "inserted": "#2a9d8f",
    "updated": "#457b9d",
    "deleted": "#6d597a",
    "unchanged": "#ced4da",
    "skipped": "#adb5bd",
    "superseded": "#868e96",
    "stale": "#868e96",
    "delete_noop": "#dee2e6",
    "rejected": "#d62828",
}
_WIDTH, _HEIGHT = 420, 14


def _picture(rows: Rows) -> str:
    """The accounting as a bar: what was read, by what became of it."""
    parts = [(name, getattr(rows, name), colour) for name, colour in _COLOURS.items() if getattr(rows, name)]
    total = sum(n for _, n, _ in parts)
    words = " · ".join(
        f"<span style='color:{colour}'>■</span> {n:,} {name.replace('_', ' ')}" for name, n, colour in parts
    )
    at, bars = 0.0, []
    for name, n, colour in parts:
        width = _WIDTH * n / total
        bars.append(
            f"<rect x='{at:.2f}' y='0' width='{width:.2f}' height='{_HEIGHT}' fill='{colour}'>"
            f"<title>{n:,} {name.replace('_', ' ')}</title></rect>"
        )
        at += width
    if not bars:
        bars.append(f"<rect x='0' y='0' width='{_WIDTH}' height='{_HEIGHT}' fill='none' stroke='#ced4da'/>")
    svg = (
        f"<svg width='{_WIDTH}' height='{_HEIGHT}' viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img' "
        f"aria-label='{rows.read:,} rows read'>{''.join(bars)}</svg>"
    )
    removed = f" · {rows.removed:,} removed from the table" if rows.removed else ""
    return f"<div>{svg}</div><div>{rows.read:,} read: {words or 'nothing'}{removed}</div>"


class Results(list[Result]):
    """Results of several pipelines, in order."""

    def __getitem__(self, key: Any) -> Any:
        """By place, or by the pipeline's name."""
        if isinstance(key, str):
            for result in self:
                if result.get("pipeline") == key:
                    return result
            raise KeyError(key)
        return super().__getitem__(key)

    def __repr__(self) -> str:
        # Each on a line of its own: a list of one line is as wide as it is long.
        return "[" + ",\n ".join(map(repr, self)) + "]"

    def _repr_html_(self) -> str:
        return "<hr>".join(result._repr_html_() for result in self)
