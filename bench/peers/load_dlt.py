"""dlt by its Arrow path: load_dlt.py SOURCE DESTINATION TABLE KEY[,KEY] CURSOR

SOURCE is a CSV file or a SQLAlchemy URL. Merges by the key and reads on from the highest cursor.
"""

import sys

import dlt
import pyarrow
import pyarrow.csv

source, destination, table, key, cursor = sys.argv[1:]


@dlt.resource(
    name=table,
    primary_key=key.split(","),
    write_disposition={"disposition": "merge", "strategy": "upsert"},
)
def rows(newest=dlt.sources.incremental(cursor)):
    for batch in pyarrow.csv.open_csv(source):
        yield pyarrow.Table.from_batches([batch])


def load():
    if "://" in source:
        from dlt.sources.sql_database import sql_table

        resource = sql_table(
            # The driver that dlt's destination brings.
            credentials=source.replace("postgresql://", "postgresql+psycopg2://", 1),
            table=table,
            backend="pyarrow",
            chunk_size=100_000,
            incremental=dlt.sources.incremental(cursor),
            primary_key=key.split(","),
            write_disposition={"disposition": "merge", "strategy": "upsert"},
        )
    else:
        resource = rows()
    if destination.startswith("sqlite"):
        into = dlt.destinations.sqlalchemy(destination)
        # It has no upsert there.
        resource.apply_hints(write_disposition={"disposition": "merge", "strategy": "delete-insert"})
    else:
        into = dlt.destinations.postgres(destination)
    dlt.pipeline("bench", destination=into, dataset_name="public").run(resource)


load()
