"""The shop's orders as an asset of Dagster."""

import os

import dagster as dg

import floodmark as fm

PROJECT = os.environ.get("SHOP", "/srv/shop")


# A retry is safe after anything; one that finds another run at work (`fm.Busy`) tries again later, too.
@dg.asset(retry_policy=dg.RetryPolicy(max_retries=3, delay=30))
def orders() -> dg.MaterializeResult:
    result = fm.Project(PROJECT).run("orders")
    rows = result.rows
    return dg.MaterializeResult(
        metadata={
            "run": result.run,
            "read": rows.read,
            "changed": rows.changed,
            "watermark": result.watermark.after,
            "accounting": dg.MetadataValue.json(result["rows"]),
        }
    )


@dg.asset_check(asset=orders)
def equals_its_source() -> dg.AssetCheckResult:
    """Compares the table with its source, by hashes."""
    verdict = fm.Project(PROJECT).verify("orders")
    return dg.AssetCheckResult(passed=verdict.status == "equal", metadata={"verdict": dg.MetadataValue.json(dict(verdict))})


every_five_minutes = dg.ScheduleDefinition(target=dg.AssetSelection.assets(orders), cron_schedule="*/5 * * * *", name="shop")

defs = dg.Definitions(assets=[orders], asset_checks=[equals_its_source], schedules=[every_five_minutes])
