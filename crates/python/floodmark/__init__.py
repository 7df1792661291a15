"""Data loads that are safe to re-run, and can prove it.

>>> import floodmark as fm
>>> fm.load(df, "sqlite:///warehouse.db", table="orders", key="id", watermark="updated_at")
>>> fm.Project("floodmark.yaml").run("orders")
>>> pl.DataFrame(fm.read("sqlite:///warehouse.db", "orders"))

What was loaded is remembered in the destination itself, in the same transaction as the rows: a load that is run twice,
interrupted or fired by two notebooks at once leaves the table exactly as one clean run would. State is the command line's,
too: a table that one loaded is continued by the other.
"""

from ._data import Source, source
from ._errors import (
    Busy,
    ConfigError,
    DataError,
    DestinationError,
    FloodmarkError,
    Interrupted,
    Mistake,
    Place,
    RunError,
    SourceError,
    StateError,
)
from ._floodmark import VERSION as __version__
from ._floodmark import Read
from ._load import load, read
from ._project import Project
from ._results import Result, Results, Rows, Watermark

__all__ = [
    "Busy",
    "ConfigError",
    "DataError",
    "DestinationError",
    "FloodmarkError",
    "Interrupted",
    "Mistake",
    "Place",
    "Project",
    "Read",
    "Result",
    "Results",
    "Rows",
    "RunError",
    "Source",
    "SourceError",
    "StateError",
    "Watermark",
    "__version__",
    "load",
    "read",
    "source",
]
