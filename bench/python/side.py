"""One side of `cargo xtask bench --only python`: does one job, and prints what it cost: seconds, processor seconds, and MiB at
its peak beyond what was there before it, which is the frame. Making the frame is not counted.

    side.py prepare CSV PARQUET
    side.py SIDE PARQUET DATABASE
    side.py project
"""

import sqlite3
import sys
import time

KEY, CURSOR = "o_orderkey", "o_orderdate"


def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))


def measured(work):
    # The peak begins anew.
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = memory("VmRSS")
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{wall:.6f} {cpu:.6f} {max(memory('VmHWM') - before, 0):.3f}")


def prepare(source, target):
    """The rows with their types, which a frame has soon."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    options = csv.ConvertOptions(column_types={CURSOR: pa.timestamp("us"), "o_totalprice": pa.float64()})
    parquet.write_table(csv.read_csv(source, convert_options=options), target)


def floodmark(frame, url):
    import floodmark as fm

    measured(lambda: fm.load(frame, url, table="orders", key=KEY, watermark=CURSOR))


def project():
    """The same files and the same pipeline as the command line beside it has."""
    import floodmark as fm

    measured(lambda: fm.Project("floodmark.yaml").run())


def pandas_first(frame, path):
    db = sqlite3.connect(path)

    def work():
        frame.to_sql("orders", db, index=False)
        db.close()

    measured(work)


def pandas_upsert(frame, path):
    """As in the lesson: reads the whole table, merges in memory, writes it all back."""
    import pandas as pd

    db = sqlite3.connect(path)

    def work():
        old = pd.read_sql("SELECT * FROM orders", db, parse_dates=[CURSOR]).set_index(KEY)
        merged = frame.set_index(KEY).combine_first(old)
        merged.reset_index().to_sql("orders", db, if_exists="replace", index=False)
        db.close()

    measured(work)


def duckdb_own(frame, path):
    """DuckDB's own package, which reads the frame where it is."""
    import duckdb

    columns = list(frame.columns)
    rest = ", ".join(f"{name} = excluded.{name}" for name in columns if name != KEY)
    db = duckdb.connect(path)
    db.register("frame", frame)

    def work():
        db.execute("CREATE TABLE IF NOT EXISTS orders AS FROM frame LIMIT 0")
        db.execute(f"ALTER TABLE orders ADD PRIMARY KEY ({KEY})")
        db.execute(f"INSERT INTO orders FROM frame ON CONFLICT DO UPDATE SET {rest} WHERE excluded.{CURSOR} >= orders.{CURSOR}")
        db.close()

    measured(work)


def main(side, *args):
    if side == "prepare":
        return prepare(*args)
    if side == "project":
        return project()
    file, database = args
    if side == "floodmark-polars":
        import polars as pl

        return floodmark(pl.read_parquet(file), database)
    import pandas as pd

    frame = pd.read_parquet(file)
    sides = {"floodmark": floodmark, "pandas-first": pandas_first, "pandas-upsert": pandas_upsert, "duckdb": duckdb_own}
    return sides[side](frame, database)


if __name__ == "__main__":
    main(*sys.argv[1:])
