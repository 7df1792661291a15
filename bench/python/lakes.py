"""Lakes beside the `deltalake` package, DuckDB's COPY and dlt: a large table (a load, a re-run with nothing new, 1 %
changed and new rows), and many small files (a load, a re-run with nothing new, one file more).

Each job is a process of its own, on the same Parquet files, and what the tables hold is compared. Needs the packages of
lakes.txt:

    python3 -m venv target/lakes && target/lakes/bin/pip install -r bench/python/lakes.txt
    target/lakes/bin/python bench/python/lakes.py target/release/floodmark [ROWS [FILES]]

Where ROWS or FILES is 0, that part is left out.
"""

import os
import shutil
import subprocess
import sys
import tempfile

from processes import HEAD, Jobs

HERE = os.path.dirname(os.path.abspath(__file__))
# What takes seconds or less is measured so often; the median counts.
RUNS = 5


def side(*words):
    return [sys.executable, os.path.join(HERE, "lake_side.py"), *words]


def dlt(*words):
    return [sys.executable, os.path.join(HERE, "../peers/lake_dlt.py"), *words]


def without(table):
    return lambda: shutil.rmtree(table, ignore_errors=True)


def copied(table, to):
    def begin():
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(table, to)

    return begin


def large(load, rows):
    subprocess.run(side("large", str(rows)), check=True)
    print(f"{rows} rows\n\n{HEAD}")
    jobs = Jobs(side("content"))
    copy = side("copy", "all.parquet", "copy.parquet")
    jobs.run("DuckDB, COPY to Parquet (zstd)", copy, "copy.parquet", "all", times=RUNS)
    write = side("write", "all.parquet", "theirs")
    wrote = jobs.run("deltalake, write", write, "theirs", "all", peer=True, times=RUNS, begin=without("theirs"))
    jobs.run("dlt, only imported", [sys.executable, "-c", "import dlt"], peer=True, times=RUNS)
    for name, how, files in [("Parquet (the file, copied)", "parquet", "/*.parquet"), ("Delta", "delta", "")]:
        table = f"dlt-{how}/lake/orders{files}"
        again = dlt(how, ".", "all.parquet", f"dlt-{how}")
        if jobs.run(f"dlt, append, {name}", again, table, "all", peer=True):
            jobs.run(f"dlt, append, {name}, again", again, table, "all", peer=True, times=RUNS)
    for name, lake, files in [("Parquet", "parquet:///folder", "/*.parquet"), ("Delta", "delta:///lake", "")]:
        table = f"{lake.rsplit('/', 1)[1]}/appended{files}"
        again = [*load, "all.parquet", lake, "--table", "appended", "--load", "append"]
        first = without(table.split("/")[0])
        jobs.run(f"Floodmark, append, {name}", again, table, "all", times=RUNS, begin=first)
        jobs.run(f"Floodmark, append, {name}, again", again, table, "all", times=RUNS)
    keyed = ["--table", "keyed", "--key", "id", "--version", "updated_at"]
    jobs.run("Floodmark, first upsert", [*load, "all.parquet", "delta:///lake", *keyed], "lake/keyed", "all")
    first = dlt("upsert", ".", "all.parquet", "dlt-upsert")
    upserted = jobs.run("dlt, first upsert", first, "dlt-upsert/lake/orders", "all", peer=True)
    for name, how in [("near", "neighbours"), ("far", "spread over all files")]:
        # Each begins with the table of the first load.
        source, job = f"{name}.parquet", f"upsert of 1 %, {how}"
        lake, theirs = f"lake-{name}", f"theirs-{name}"
        mine = [*load, source, f"delta:///{lake}", *keyed]
        jobs.run(f"Floodmark, {job}", mine, f"{lake}/keyed", name, times=RUNS, begin=copied("lake", lake))
        if wrote:
            merge, begin = side("merge", source, theirs), copied("theirs", theirs)
            jobs.run(f"deltalake, {job}", merge, theirs, name, peer=True, times=RUNS, begin=begin)
        if upserted:
            shutil.copytree("dlt-upsert", f"dlt-{name}")
            upsert = dlt("upsert", ".", source, f"dlt-{name}")
            jobs.run(f"dlt, {job}", upsert, f"dlt-{name}/lake/orders", name, peer=True)
        jobs.compare(f"Floodmark, {job}", f"deltalake, {job}")
        jobs.compare(f"Floodmark, {job}", f"dlt, {job}")
    for other in ["DuckDB, COPY to Parquet (zstd)", "deltalake, write", "dlt, append, Delta"]:
        jobs.compare("Floodmark, append, Delta", other)
    jobs.compare("Floodmark, append, Parquet", "DuckDB, COPY to Parquet (zstd)")
    jobs.compare("Floodmark, append, Delta, again", "dlt, append, Delta, again")
    jobs.close()


def many(load, count):
    """Only Floodmark and dlt know what they have loaded; with the others that is left to whoever calls them."""
    subprocess.run(side("files", str(count)), check=True)
    print(f"{count} files\n\n{HEAD}")
    jobs = Jobs(side("content"))
    jobs.run("DuckDB, COPY of the pattern", side("copy", "in/*.parquet", "copy.parquet"), "copy.parquet", "all")
    wrote = jobs.run("deltalake, write of the folder", side("write", "in", "theirs"), "theirs", "all", peer=True)
    again, table = dlt("delta", "in", "*.parquet", "dlt"), "dlt/lake/orders"
    loaded = jobs.run("dlt, first load", again, table, "all", peer=True)
    if loaded:
        jobs.run("dlt, again", again, table, "all", peer=True, times=RUNS)
    mine = [*load, "in/*.parquet", "delta:///lake", "--table", "orders", "--load", "append"]
    jobs.run("Floodmark, first load", mine, "lake/orders", "all")
    jobs.run("Floodmark, again", mine, "lake/orders", "all", times=RUNS)
    os.rename("one.parquet", "in/the-newest.parquet")
    jobs.run("Floodmark, one file more", mine, "lake/orders", "more")
    if loaded:
        jobs.run("dlt, one file more", again, table, "more", peer=True)
    if wrote:
        one = side("write", "in/the-newest.parquet", "theirs")
        jobs.run("deltalake, one file more, which is named", one, "theirs", "more", peer=True)
    for job, others in [
        ("first load", ["DuckDB, COPY of the pattern", "deltalake, write of the folder", "dlt, first load"]),
        ("again", ["dlt, again"]),
        ("one file more", ["dlt, one file more", "deltalake, one file more, which is named"]),
    ]:
        for other in others:
            jobs.compare(f"Floodmark, {job}", other)
    jobs.close()


def main():
    load = [os.path.abspath(sys.argv[1]), "--quiet", "load"]
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10_000
    for part, size in [(large, rows), (many, count)]:
        with tempfile.TemporaryDirectory(prefix="floodmark-lakes-") as folder:
            os.chdir(folder)
            if size:
                part(load, size)
            os.chdir(HERE)


main()
