"""What lakes.py needs beside Floodmark: makes files to load, or does one job by DuckDB or the package `deltalake`.

    lake_side.py large ROWS
    lake_side.py files COUNT
    lake_side.py copy SOURCE FILE
    lake_side.py write SOURCE TABLE
    lake_side.py merge SOURCE TABLE
    lake_side.py content TABLE
"""

import os
import sys

COLUMNS = "id, id % 1000 AS customer, round((id * 7919) % 100000 / 100.0, 2)::DECIMAL(12,2) AS amount, \
'order number ' || id AS note, TIMESTAMP '2024-01-01' + INTERVAL (id % 31536000) SECOND AS updated_at"
ROWS_OF_A_FILE = 1_000


def large(rows):
    """all.parquet, and 1 % changed and new rows: near.parquet has neighbours, far.parquet some of every file."""
    import duckdb

    rows = int(rows)
    part = rows // 100
    newer = "SELECT * REPLACE ('changed ' || id AS note, updated_at + INTERVAL 400 DAY AS updated_at) \
FROM (SELECT {} FROM range({}) t(id)) WHERE {}"
    changed = {"near": f"id >= {rows - part // 2}", "far": f"id % 200 = 7 OR id >= {rows}"}
    duckdb.sql(f"COPY (SELECT {COLUMNS} FROM range({rows}) t(id)) TO 'all.parquet' (FORMAT parquet)")
    for name, which in changed.items():
        chosen = newer.format(COLUMNS, rows + part // 2, which)
        duckdb.sql(f"COPY ({chosen}) TO '{name}.parquet' (FORMAT parquet)")


def files(count):
    """A folder `in` of so many small files, and one.parquet, which comes after them."""
    import duckdb
    from pyarrow import parquet

    os.mkdir("in")
    count = int(count)
    read = duckdb.sql(f"SELECT {COLUMNS} FROM range({(count + 1) * ROWS_OF_A_FILE}) t(id)").to_arrow_table()
    for at in range(count + 1):
        path = f"in/part-{at:06}.parquet" if at < count else "one.parquet"
        parquet.write_table(read.slice(at * ROWS_OF_A_FILE, ROWS_OF_A_FILE), path)


def copy(source, target):
    import duckdb

    duckdb.sql(f"COPY (FROM '{source}') TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def write(source, table):
    """A file, or all of a folder."""
    import deltalake
    import pyarrow.dataset

    deltalake.write_deltalake(table, pyarrow.dataset.dataset(source).scanner().to_reader(), mode="append")


def merge(source, table):
    """Not streamed, which lets it look for its rows by the files' statistics: less time and memory with few rows."""
    import deltalake
    from pyarrow import parquet

    rows = parquet.read_table(source)
    into = deltalake.DeltaTable(table)
    merging = into.merge(rows, "t.id = s.id", source_alias="s", target_alias="t", streamed_exec=False)
    merging.when_matched_update_all().when_not_matched_insert_all().execute()


def content(table):
    """Counts and sums of a Delta table, or of the Parquet files that a pattern finds."""
    import deltalake
    import duckdb

    paths = [table] if table.endswith(".parquet") else deltalake.DeltaTable(table).file_uris()
    sums = "count(*), count(DISTINCT id), sum(customer), sum(amount), sum(hash(note)), sum(epoch_us(updated_at))"
    print(*duckdb.execute(f"SELECT {sums} FROM read_parquet($1)", [paths]).fetchone())


if __name__ == "__main__":
    jobs = {job.__name__: job for job in (large, files, copy, write, merge, content)}
    jobs[sys.argv[1]](*sys.argv[2:])
