"""The shop's orders, every five minutes, by Prefect."""

import os

from prefect import flow, task
from prefect.states import Completed

import floodmark as fm

PROJECT = os.environ.get("SHOP", "/srv/shop")


# A retry is safe after anything.
@task(retries=3, retry_delay_seconds=30)
def orders():
    try:
        return dict(fm.Project(PROJECT).run("orders"))
    except fm.Busy as busy:
        return Completed(name="Skipped", message=busy.message)


@flow
def shop():
    # `Completed`, or `Skipped`.
    return orders(return_state=True)


if __name__ == "__main__":
    shop.serve(name="shop", cron="*/5 * * * *")
