from typing import Any

VERSION: str

class Read:
    """A table or a query, read anew each time its rows are asked for."""

    @property
    def columns(self) -> list[tuple[str, str]]:
        """The columns and their types."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows, by the Arrow C stream interface."""

def main(args: list[str], program: list[str]) -> int: ...
def flags() -> list[tuple[str, bool]]: ...
def log_into(logger: Any) -> bool: ...
def command(
    args: list[str], program: list[str], host: Any, watched: bool
) -> tuple[int, BaseException | None, BaseException | None]: ...
def load(
    rows: Any,
    settings: list[tuple[str, str]],
    program: list[str],
    host: Any,
    watched: bool,
    wait: float | None,
    full_refresh: bool,
) -> tuple[int, BaseException | None, BaseException | None]: ...
def read(url: str, table: str | None, query: str | None) -> Read: ...
