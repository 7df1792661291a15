"""Errors: what happened, where, what state the data is in, what to do."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ._floodmark import flags


@dataclass(frozen=True)
class Place:
    """Where in the rows the trouble is; what is not known is None. Rows and lines count from 1."""

    file: str | None = None
    line: int | None = None
    row: int | None = None
    column: str | None = None
    value: str | None = None


@dataclass(frozen=True)
class Mistake:
    """One of several mistakes in a pipeline file or in settings."""

    code: str
    message: str
    file: str | None
    line: int | None
    column: int | None
    help: tuple[str, ...]


class _Told(BaseException):
    """What every exception of this package has."""

    code: str
    message: str
    state: str | None
    help: tuple[str, ...]
    place: Place | None
    mistakes: tuple[Mistake, ...]
    result: Any

    def __init__(
        self,
        message: str,
        *,
        code: str = "FM0901",
        state: str | None = None,
        help: tuple[str, ...] = (),
        place: Place | None = None,
        mistakes: tuple[Mistake, ...] = (),
        result: Any = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.state = state
        self.help = help
        self.place = place
        self.mistakes = mistakes
        self.result = result

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.message}"]
        if self.place is not None:
            parts = ((name, getattr(self.place, name)) for name in ("file", "line", "row", "column", "value"))
            lines.append("  --> " + ", ".join(f"{name} {value}" for name, value in parts if value is not None))
        if self.state:
            lines.append(f"  state: {self.state}")
        for mistake in self.mistakes if len(self.mistakes) > 1 else ():
            where = f"line {mistake.line}: " if mistake.line else ""
            lines.append(f"  {where}{mistake.message}")
            lines.extend(f"    help: {help}" for help in mistake.help)
        if len(self.mistakes) < 2:
            lines.extend(f"  help: {help}" for help in self.help)
        lines.append(f"  more: floodmark explain {self.code}")
        return "\n".join(lines)


class FloodmarkError(_Told, Exception):
    """A load that failed. `code` is stable (`FM0203`), `state` says what state the data is in, `help` what to do, `place`
    where the trouble is; `result` is the run's result where there was a run."""


class ConfigError(FloodmarkError):
    """FM01…: settings that are wrong or cannot be loaded safely; `mistakes` has all of them."""


class SourceError(FloodmarkError):
    """FM02…: the rows cannot be read."""


class DataError(FloodmarkError):
    """FM03…: a value that does not fit."""


class DestinationError(FloodmarkError):
    """FM04…: the destination cannot be written."""


class Busy(FloodmarkError):
    """FM0501: another run holds the pipeline. Nothing was done; `wait=` waits for it."""


class StateError(FloodmarkError):
    """FM05…: what is remembered of the pipeline cannot be used."""


class RunError(FloodmarkError):
    """FM06… and FM09…: the run itself failed."""


class Interrupted(_Told, KeyboardInterrupt):
    """FM0602: Ctrl-C. What was not committed is rolled back, and the lock is free. A `KeyboardInterrupt`, and no
    `FloodmarkError`: what catches errors does not go on after it."""


_KINDS = {
    "FM01": ConfigError,
    "FM02": SourceError,
    "FM03": DataError,
    "FM04": DestinationError,
    "FM05": StateError,
}
_ONE = {"FM0501": Busy, "FM0602": Interrupted}


def kind(code: str) -> type:
    """The class of an error by its code."""
    return _ONE.get(code) or _KINDS.get(code[:4], RunError)


def of(failure: dict[str, Any], *, settings: bool = False, result: Any = None) -> BaseException:
    """The exception of an object that has an `error`. `settings`: its words are those of the command line's flags, and
    the caller gave keyword arguments."""
    error = failure["error"]
    say = as_keywords if settings else str
    mistakes = tuple(
        Mistake(
            code=one.get("code", error["code"]),
            message=say(one["message"]),
            file=one.get("file"),
            line=one.get("line"),
            column=one.get("column"),
            help=tuple(say(help) for help in one.get("help", ())),
        )
        for one in failure.get("mistakes") or ()
    )
    place = error.get("place")
    state = error.get("state")
    help = tuple(say(help) for help in map(_as_option, error.get("help") or ()) if help)
    if len(mistakes) == 1:
        help = help or mistakes[0].help
    made: BaseException = kind(error["code"])(
        say(_as_option(error["message"])),
        code=error["code"],
        state=say(state) if state else None,
        help=help,
        place=Place(**place) if place else None,
        mistakes=mistakes,
        result=result,
    )
    return made


def of_json(text: str) -> BaseException:
    """The exception of an error as JSON."""
    return of({"error": json.loads(text)})


_OPTIONS = [
    (re.compile(r"unexpected argument '--([\w-]+)' found"), "there is no option {!r}"),
    (re.compile(r"(?:tip: )?(?:a similar argument exists|some similar arguments exist): '--([\w-]+)'.*", re.S), "did you mean {!r}?"),
    (re.compile(r"(?<=for )'--([\w-]+)(?: <[^>]*>| \[[^\]]*\])*'"), "{!r}"),
    # How the command line is typed.
    (re.compile(r"tip: to pass .* as a value, use .*|Usage: .*|For more information, try '--help'\.", re.S), ""),
]


def _as_option(text: str) -> str:
    """What the command line says of its options, told of keyword arguments; empty where it means nothing to them."""
    for pattern, told in _OPTIONS:
        text = pattern.sub(lambda found: told.format(*(name.replace("-", "_") for name in found.groups())), text)
    return text


_FLAGS = dict(flags())
_FLAG = re.compile(r"--(?P<name>[a-z][a-z-]*)(?:(?P<between>[ =])(?P<value>'[^']*'|[\w.,%*/:\"-][\w.,%*/:=\"-]*))?")


def as_keywords(text: str) -> str:
    """A message that speaks of flags, told in keyword arguments: `--on-null keep` becomes `on_null="keep"`."""

    def told(found: re.Match[str]) -> str:
        name, value = found["name"], found["value"]
        if name not in _FLAGS:
            return found[0]
        if name == "column" and value:
            column, _, of = value.strip("'").partition("=")
            return f'columns={{"{column}": "{of}"}}'
        keyword = name.replace("-", "_")
        if _FLAGS[name]:
            rest = "" if value is None else f"{found['between']}{value}"
            if found["between"] == "=":
                return f"{keyword}={value.capitalize()}"
            return f"{keyword}=True{rest}"
        if value is None:
            return keyword
        # Words of the sentence that follow a flag are no value of it.
        trailing = ""
        while value and value[-1] in ",.:;":
            value, trailing = value[:-1], value[-1] + trailing
        if value in ("is", "are", "has", "with", "names", "and", "or", "to", "belongs", "limits", "says", "takes") or not value:
            return f"{keyword}{found['between']}{value}{trailing}"
        return f'{keyword}="{value.strip(chr(39))}"{trailing}'

    return _FLAG.sub(told, text)
