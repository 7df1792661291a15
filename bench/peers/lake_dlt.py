"""dlt on lakes: lake_dlt.py parquet|delta|upsert FOLDER PATTERN HOME

Loads the files of a folder that are younger than those of the last run into a table `orders` under HOME, where its
state is as well: appended as Parquet files, or to a Delta table, or merged into one by `id`.

Of the ways that dlt documents, the quickest: a file by itself is imported, which copies it. Of many, each page is
handed on as one Arrow table; to import them all, or to read one after the other by `read_parquet`, took longer. The
times are told to have no zone, as the rows would be written anew to give them one. Merges are not streamed, as in
lake_side.py.
"""

import os
import sys

os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "DATA_WRITER__BUFFER_MAX_ITEMS": "100000",
    "DESTINATION__FILESYSTEM__DELTALAKE_STREAMED_EXEC": "false",
}

import dlt
from dlt.sources.filesystem import filesystem
from pyarrow import dataset, parquet

how, folder, pattern, home = sys.argv[1:]
home = os.path.abspath(home)


@dlt.transformer
def rows(files):
    paths = [file.local_file_path for file in files]
    if len(paths) > 1:
        yield dataset.dataset(paths).to_table()
    else:
        file = parquet.ParquetFile(paths[0])
        schema = file.schema_arrow.empty_table()
        yield dlt.mark.with_file_import(paths[0], "parquet", file.metadata.num_rows, hints=schema)


upsert = {"write_disposition": {"disposition": "merge", "strategy": "upsert"}, "primary_key": "id"}
hints = {
    "parquet": {"write_disposition": "append"},
    "delta": {"write_disposition": "append", "table_format": "delta"},
    "upsert": upsert | {"table_format": "delta"},
}
new = dlt.sources.incremental("modification_date")
found = filesystem(os.path.abspath(folder), file_glob=pattern, files_per_page=1000, incremental=new)
orders = (found | rows).with_name("orders")
# As they are in the files.
columns = {
    "id": {"data_type": "bigint", "nullable": True},
    "updated_at": {"data_type": "timestamp", "timezone": False},
}
orders.apply_hints(columns=columns, **hints[how])
into = dlt.destinations.filesystem(home)
pipeline = dlt.pipeline("lake", pipelines_dir=f"{home}/state", destination=into, dataset_name="lake")
pipeline.run(orders, loader_file_format="parquet")
