"""The shop's orders, every five minutes, by Airflow."""

import os

import pendulum
from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowSkipException

import floodmark as fm

PROJECT = os.environ.get("SHOP", "/srv/shop")


# A retry is safe after anything, and so is a second run beside the first: no pool and no `max_active_runs` are needed.
@dag(schedule="*/5 * * * *", start_date=pendulum.datetime(2024, 1, 1, tz="UTC"), catchup=False)
def shop():
    @task(retries=3, retry_delay=pendulum.duration(seconds=30))
    def orders() -> dict:
        try:
            return dict(fm.Project(PROJECT).run("orders"))
        except fm.Busy as busy:
            raise AirflowSkipException(busy.message) from busy

    orders()


shop = shop()
