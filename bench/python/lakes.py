"""Delta tables: a load, a re-run with nothing new, and 1 % changed and new rows, beside the `deltalake` package and DuckDB's COPY.

Each job is a process of its own, on the same Parquet files; wall time and peak memory are the kernel's (wait4). Needs the packages of
xtask/src/python/delta.txt.

    python3 bench/python/lakes.py target/release/floodmark [ROWS]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

COLUMNS = "id, id % 1000 AS customer, round((id * 7919) % 100000 / 100.0, 2)::DECIMAL(12,2) AS amount, \
'order number ' || id AS note, TIMESTAMP '2024-01-01' + INTERVAL (id % 31536000) SECOND AS updated_at"


def job(name, command):
    began = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - began
    if status:
        raise SystemExit(f"{name} failed: {command}")
    cpu = usage.ru_utime + usage.ru_stime
    print(f"| {name} | {took:.2f} s | {cpu:.2f} s | {usage.ru_maxrss / 1024:.0f} MiB |", flush=True)
    return took


def python(code, *arguments):
    return [sys.executable, "-c", code, *arguments]


COPY = "import duckdb, sys; duckdb.sql(f\"COPY (FROM '{sys.argv[1]}') TO '{sys.argv[2]}' (FORMAT parquet, COMPRESSION zstd)\")"
WRITE = """
import sys, pyarrow.dataset, deltalake
batches = pyarrow.dataset.dataset(sys.argv[1]).scanner().to_reader()
deltalake.write_deltalake(sys.argv[2], batches)
"""
MERGE = """
import sys, pyarrow.parquet, deltalake
table = deltalake.DeltaTable(sys.argv[2])
merge = table.merge(pyarrow.parquet.read_table(sys.argv[1]), "t.id = s.id", source_alias="s", target_alias="t")
merge.when_matched_update_all().when_not_matched_insert_all().execute()
"""


def main():
    program = os.path.abspath(sys.argv[1])
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    import duckdb

    folder = tempfile.mkdtemp(prefix="floodmark-lakes-")
    os.chdir(folder)
    try:
        duckdb.sql(f"COPY (SELECT {COLUMNS} FROM range({rows}) t(id)) TO 'all.parquet' (FORMAT parquet)")
        part = rows // 100
        spread = f"SELECT * REPLACE ('changed ' || id AS note, updated_at + INTERVAL 400 DAY AS updated_at) FROM (SELECT {COLUMNS} FROM range({{}}) t(id))"
        near = f"SELECT * FROM ({spread.format(rows + part // 2)}) WHERE id >= {rows - part // 2}"
        far = f"SELECT * FROM ({spread.format(rows + part // 2)}) WHERE id % 200 = 7 OR id >= {rows}"
        duckdb.sql(f"COPY ({near}) TO 'near.parquet' (FORMAT parquet)")
        duckdb.sql(f"COPY ({far}) TO 'far.parquet' (FORMAT parquet)")
        load = [program, "--quiet", "load"]
        print(f"{rows} rows\n\n| job | wall | processor | peak memory |\n| --- | --- | --- | --- |")
        copy = job("DuckDB, COPY to Parquet (zstd)", python(COPY, "all.parquet", "copy.parquet"))
        write = job("deltalake, write", python(WRITE, "all.parquet", "theirs"))
        append = [*load, "all.parquet", "delta:///lake", "--table", "appended", "--load", "append"]
        mine = job("Floodmark, append", append)
        job("Floodmark, the same again", append)
        keyed = ["--table", "keyed", "--key", "id", "--version", "updated_at"]
        job("Floodmark, first upsert", [*load, "all.parquet", "delta:///lake", *keyed])
        ratios = [("append", mine / copy, "COPY"), ("append", mine / write, "deltalake's write")]
        for name, how in [("near", "neighbours"), ("far", "spread over all files")]:
            shutil.copytree("theirs", f"theirs-{name}")
            merge = job(f"deltalake, merge of 1 %, {how}", python(MERGE, f"{name}.parquet", f"theirs-{name}"))
            took = job(f"Floodmark, upsert of 1 %, {how}", [*load, f"{name}.parquet", "delta:///lake", *keyed])
            ratios.append((f"upsert of 1 %, {how}", took / merge, "deltalake's merge"))
        print()
        for what, ratio, of in ratios:
            print(f"{what}: {ratio:.2f} of {of}")
    finally:
        shutil.rmtree(folder)


main()
