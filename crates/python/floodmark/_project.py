"""A pipeline file, and what can be done with it."""

from __future__ import annotations

import datetime as dt
import os
from typing import Any

from . import _values
from ._results import Result, Results
from ._run import Progress, command


def _waited(wait: bool | float) -> list[str]:
    if wait is True:
        return ["--wait"]
    return [f"--wait={float(wait):g}s"] if wait else []


def _options(given: dict[str, Any]) -> list[str]:
    """Keyword arguments as flags: True is the flag alone, a list is the flag several times."""
    args = []
    for name, value in given.items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            args.append(flag)
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            args.append(f"{flag}={_values.setting(one)}")
    return args


class Project:
    """The pipelines of a file (or of the folder it is in). The same as `floodmark COMMAND -f FILE`: what a command takes as
    ``--some-flag``, its method takes as ``some_flag``, and its results are the objects that ``--format json`` prints.

    >>> shop = fm.Project("floodmark.yaml")
    >>> shop.run("orders").rows.inserted
    """

    def __init__(self, path: str | os.PathLike[str] = "floodmark.yaml", *, progress: Progress | None = None) -> None:
        self.path = os.fspath(path)
        self.progress = progress

    def __repr__(self) -> str:
        return f"floodmark.Project({self.path!r})"

    def _command(self, name: str, args: list[str], options: list[str] = []) -> tuple[int, Results]:
        # Names stand behind `--`: one may begin with a hyphen.
        line = [name, "--file", self.path, *options, *(["--", *args] if args else [])]
        code, objects = command(line, self.progress)
        return code, Results(Result(one) for one in objects)

    def run(
        self,
        *names: str,
        jobs: int = 1,
        wait: bool | float = False,
        full_refresh: bool = False,
    ) -> Any:
        """Runs pipelines, all by default: the result of the one that is named, or a list. One that fails is an exception,
        raised when the others are done."""
        options = [f"--jobs={jobs}", *_waited(wait), *(["--full-refresh"] if full_refresh else [])]
        return _one(names, self._command("run", list(names), options)[1])

    def plan(self, *names: str, wait: bool | float = False, **options: Any) -> Any:
        """What a run would do, row for row; nothing is done."""
        return _one(names, self._command("plan", list(names), _waited(wait) + _options(options))[1])

    def backfill(
        self,
        name: str,
        *,
        from_: Any = None,
        to: Any = None,
        by: str | None = None,
        jobs: int = 1,
        missing: bool = False,
        status: bool = False,
        wait: bool | float = False,
        **options: Any,
    ) -> Result:
        """Loads a range of a pipeline's history, interval by interval; ``status=True`` says what of it is in."""
        given = {"from": from_, "to": to, "by": by, "missing": missing, "status": status}
        if not status:
            given["jobs"] = jobs
        result: Result = self._command("backfill", [name], _waited(wait) + _options({**given, **options}))[1][0]
        return result

    def verify(self, *names: str, repair: bool = False, **options: Any) -> Any:
        """Compares tables with what they should hold. Differences are no exception: ``result["status"]`` says so."""
        return _one(names, self._command("verify", list(names), _options({"repair": repair, **options}))[1])

    def prove(self, *names: str, **options: Any) -> Any:
        """Tries the promises on copies; a certificate each. A broken promise is no exception."""
        return _one(names, self._command("prove", list(names), _options(options))[1])

    def check(self, *names: str) -> Results:
        """What is wrong with the file, its connections and sources, and what is unsafe. Findings are no exceptions."""
        return self._command("check", list(names))[1]

    def state(self, name: str | None = None) -> Any:
        """What is remembered of pipelines."""
        line = ["state", "show", "--file", self.path, *(["--", name] if name else [])]
        return _one([name] if name else [], Results(Result(one) for one in command(line)[1]))

    def runs(self, name: str | None = None, *, limit: int = 20) -> Results:
        """The run ledger, newest first."""
        return self._command("runs", [name] if name else [], [f"--limit={limit}"])[1]


def _one(names: Any, results: Results) -> Any:
    """The result, where one was asked for; a name may stand for several pipelines."""
    return results[0] if len(names) == 1 and len(results) == 1 else results
