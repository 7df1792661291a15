"""What other programs make of a table, and tables that they make. Called by kept.rs with a command and a folder."""

import datetime as dt
import decimal
import json
import pathlib
import sys

import deltalake
import duckdb
import duckdb_extension_delta
import pyarrow as pa

command, folder = sys.argv[1:3]


def duck():
    connection = duckdb.connect()
    home = pathlib.Path(duckdb_extension_delta.__file__).parent
    (extension,) = home.rglob("delta.duckdb_extension")
    connection.load_extension(str(extension))
    connection.execute("SET timezone='UTC'")
    return connection


def shown(rows):
    return sorted((tuple(str(value) for value in row) for row in rows), key=str)


if command == "read":
    table = deltalake.DeltaTable(folder)
    arrow = table.to_pyarrow_table()
    names = arrow.column_names
    theirs = shown(zip(*(arrow[name].to_pylist() for name in names)))
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    query = f"SELECT {columns} FROM delta_scan('{folder}')"
    with duck() as connection:
        ducks = connection.execute(query).fetchall()
    print(json.dumps({
        "version": table.version(),
        "names": names,
        "rows": len(theirs),
        "ids": sorted(arrow["id"].to_pylist(), key=lambda v: (v is None, v)),
        "duck": len(ducks),
        "duck_ids": sorted((row[names.index("id")] for row in ducks), key=lambda v: (v is None, v)),
        "history": [entry.get("operation") for entry in table.history()],
        "transaction": table.transaction_version("floodmark:maker"),
    }))
elif command == "filter":
    # By statistics: what a wrong bound leaves out is missing here.
    where = sys.argv[3]
    with duck() as connection:
        print(connection.execute(f"SELECT count(*) FROM delta_scan('{folder}') WHERE {where}").fetchone()[0])
elif command == "make":
    rows = {
        "id": pa.array([1, 2, 3], pa.int32()),
        "small": pa.array([1, -1, None], pa.int8()),
        "float": pa.array([0.1, -0.5, None], pa.float32()),
        "amount": pa.array([decimal.Decimal("1.50"), decimal.Decimal("-2.25"), None], pa.decimal128(10, 2)),
        "at": pa.array([dt.datetime(2024, 1, 1, 12, 0, 0, 123456)] * 2 + [None], pa.timestamp("us")),
        "tz": pa.array([dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)] * 3, pa.timestamp("us", "UTC")),
        "part": pa.array(["a/b %", "ä", None], pa.string()),
        "list": pa.array([[1], [], None], pa.list_(pa.int64())),
    }
    deltalake.write_deltalake(folder, pa.table(rows), partition_by=["part"])
    deltalake.write_deltalake(folder, pa.table(rows), mode="append")
    table = deltalake.DeltaTable(folder)
    table.delete("id = 2")
    if "checkpoint" in sys.argv[3:]:
        table.create_checkpoint()
elif command == "append":
    deltalake.write_deltalake(folder, pa.table({"id": [1000], "name": ["theirs"]}), mode="append")
elif command == "properties":
    table = deltalake.DeltaTable(folder)
    properties = dict(pair.split("=") for pair in sys.argv[3:])
    table.alter.set_table_properties(properties, raise_if_not_exists=False)
elif command == "constraint":
    deltalake.DeltaTable(folder).alter.add_constraint({"positive": "id >= 0"})
else:
    raise SystemExit(f"unknown command {command}")
