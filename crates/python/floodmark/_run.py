"""Between Python and the engine: what a run says, what it is started by, and what became of it."""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
from typing import Any, Callable, Union

from . import _errors, _floodmark

# Without a handler, so that Python tells warnings on standard error where nobody set up logging: a load that is gone with its
# database in memory, or one that adds its rows twice, must not go unseen.
logger = logging.getLogger("floodmark")

# Who is called with events; True shows them.
Progress = Union[Callable[[dict[str, Any]], object], bool]


class Line:
    """Events as one line of standard error, which is written over: in a terminal and in a notebook."""

    def __init__(self) -> None:
        self.width = 0
        self.next = 0.0

    def __call__(self, event: dict[str, Any]) -> None:
        last = event["kind"] == "finished"
        # A terminal takes longer to show a line than a batch takes to load.
        if not last and time.monotonic() < self.next:
            return
        self.next = time.monotonic() + 0.1
        text = f"{event['pipeline']}: {event['kind']}"
        if event.get("rows") is not None:
            text += f", {event['rows']:,} rows"
        sys.stderr.write("\r" + text.ljust(self.width) + ("\n" if last else ""))
        sys.stderr.flush()
        self.width = 0 if last else len(text)


def program() -> list[str]:
    """How `floodmark` is started as a process of its own: `prove` kills some."""
    return [sys.executable, "-m", "floodmark"]


@functools.cache
def _listen() -> None:
    """From the first run on, and not from the import: `python -m floodmark` logs by itself."""
    _floodmark.log_into(logger)


class Listener:
    """What a run says, from the thread that called."""

    def __init__(self, progress: Progress | None, settings: bool = False) -> None:
        _listen()
        self.objects: list[dict[str, Any]] = []
        self.progress: Callable[[dict[str, Any]], object] | None
        if isinstance(progress, bool):
            self.progress = Line() if progress else None
        else:
            self.progress = progress
        self.settings = settings

    def object(self, text: str) -> None:
        """A result."""
        self.objects.append(json.loads(text))

    def note(self, text: str) -> None:
        """Something worth knowing."""
        logger.info("%s", text)

    def warning(self, text: str, help: str | None) -> None:
        """Something that may need attention."""
        if self.settings:
            text, help = _errors.as_keywords(text), _errors.as_keywords(help) if help else None
        logger.warning("%s", f"{text} ({help})" if help else text)

    def event(self, text: str) -> None:
        """Something that happened on the way."""
        if self.progress is not None:
            self.progress(json.loads(text))

    @property
    def watched(self) -> bool:
        """Whether anybody wants to know what happens on the way."""
        return self.progress is not None


def ended(listener: Listener, code: int, raised: BaseException | None, cause: BaseException | None) -> None:
    """Raises what has to be raised: a signal's exception, the listener's, or the error of the run."""
    from ._results import Result

    # What is no error, such as `SystemExit`, ended the run as a signal does, and goes on as it is.
    if cause is not None and not isinstance(cause, Exception):
        raised = raised or cause

    failures = [one for one in listener.objects if one.get("error")]
    failure = next((one for one in failures if one["error"]["code"] != "FM0602"), failures[0] if failures else None)
    error = None
    if failure is not None:
        result = Result(failure) if "pipeline" in failure else None
        error = _errors.of(failure, settings=listener.settings, result=result)
    elif code in (130, 143):
        error = _errors.Interrupted("interrupted", code="FM0602", state="what is committed stays")
    if raised is not None:
        # Ctrl-C is told with what it left; any other exception is the caller's own, and goes on as it is.
        if type(raised) is KeyboardInterrupt and isinstance(error, _errors.Interrupted):
            raise error from None
        raise raised
    if error is not None:
        raise error from cause


def command(args: list[str], progress: Progress | None = None) -> tuple[int, list[dict[str, Any]]]:
    """Runs a command line; its exit code and objects. An error is an exception."""
    listener = Listener(progress)
    code, raised, cause = _floodmark.command(args, program(), listener, listener.watched)
    ended(listener, code, raised, cause)
    return code, listener.objects
