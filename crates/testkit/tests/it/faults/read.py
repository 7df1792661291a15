"""What other programs find in tables: folders are arguments, and one line of JSON a folder is printed."""

import json
import os
import pathlib
import sys
import urllib.parse

import deltalake
import duckdb


def shown(rows):
    return sorted([str(value) for value in row] for row in rows)


for folder in map(pathlib.Path, sys.argv[1:]):
    if (folder / "_delta_log").is_dir():
        arrow = deltalake.DeltaTable(str(folder)).to_pyarrow_table()
    else:
        # The newest manifest says which files are the table.
        newest = json.loads(max((folder / "_floodmark" / "manifest").iterdir()).read_text())
        files = [str(folder / urllib.parse.unquote(file["path"])) for file in newest["files"]]
        arrow = duckdb.execute("SELECT * FROM read_parquet(?, union_by_name = true)", [files]).arrow()
        arrow = arrow.read_all() if hasattr(arrow, "read_all") else arrow
    names = ["id", "name"]
    print(json.dumps(shown(zip(*(arrow[name].to_pylist() for name in names)))))

# Threads of the libraries end the interpreter now and then with a signal, when all is said.
sys.stdout.flush()
os._exit(0)
