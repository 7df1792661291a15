"""The recipes, each executed by what it is written for, on the project that stands in for `/srv/shop`."""

from __future__ import annotations

import configparser
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pytest
import yaml

import floodmark as fm
from conftest import SERVER, psql, rows

RECIPES = Path(os.environ["FLOODMARK_EXAMPLES"]) / "recipes"
PROGRAM = Path(os.environ["FLOODMARK_BIN"])
MORE = "id,customer,amount_cents,updated_at\n4,cy,50,2024-01-03 00:00:00\n"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of the project."""
    return Path(shutil.copytree(RECIPES / "shop", tmp_path / "shop"))


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where `floodmark` is found, beside what every system has."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "floodmark").symlink_to(PROGRAM)
    return f"{tmp_path / 'bin'}:/usr/bin:/bin"


@contextmanager
def held(shop: Path) -> Iterator[None]:
    """Another run holds the pipeline meanwhile."""
    begun, done = threading.Event(), threading.Event()

    def waiting():
        yield pa.table({"id": [0]})
        begun.set()
        done.wait(600)
        # So that nothing is loaded in the end.
        raise TimeoutError

    def load() -> None:
        with pytest.raises(fm.SourceError):
            fm.load(waiting(), f"sqlite:///{shop / 'warehouse.db'}", table="orders", pipeline="orders", key="id")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        assert begun.wait(60)
        yield
    finally:
        done.set()
        thread.join()


def loaded(shop: Path) -> list[int]:
    """The ids that are in the warehouse."""
    return [row["id"] for row in rows(f"sqlite:///{shop / 'warehouse.db'}", "orders")]


def starter(name: str) -> Path:
    """The Python that has it."""
    folder = os.environ.get(f"FLOODMARK_STARTER_{name.upper()}")
    if folder is None:
        pytest.fail(f"FLOODMARK_STARTER_{name.upper()} is not set: `cargo xtask python` makes the folder and sets it")
    return Path(folder) / "bin" / "python"


def started(name: str, code: str, shop: Path, tmp_path: Path, **more: str) -> dict:
    """What a program prints last, as JSON, that is run by the Python which has the starter, beside the recipe."""
    home = tmp_path / name
    home.mkdir(exist_ok=True)
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FLOODMARK"))},
        "SHOP": str(shop),
        "HOME": str(home),
        "PYTHONPATH": str(RECIPES / name),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DO_NOT_TRACK": "1",
        **more,
    }
    done = subprocess.run([starter(name), "-c", code], cwd=home, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


# ── cron


def crontab(shop: Path, path: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Variables, and lines as (when, command)."""
    variables, lines = {}, []
    for line in (RECIPES / "cron" / "crontab").read_text().splitlines():
        name, is_set, value = line.partition("=")
        if not line or line.startswith("#"):
            continue
        if is_set and name.isidentifier():
            variables[name] = value
        else:
            *when, command = line.split(maxsplit=5)
            lines.append((" ".join(when), command.replace("/srv/shop", str(shop))))
    variables["PATH"] = variables["PATH"].replace("/usr/local/bin", path.split(":")[0])
    return variables, lines


def fire(command: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As cron does it: by `sh`, with next to nothing around it."""
    env = {**variables, "HOME": "/", "SHELL": "/bin/sh", "LOGNAME": "floodmark"}
    return subprocess.run(["/bin/sh", "-c", command], cwd="/", env=env, capture_output=True, text=True)


def test_cron_lines_run_and_a_second_one_leaves(shop: Path, path: str) -> None:
    variables, lines = crontab(shop, path)
    (every, run), (weekly, verify) = lines
    for when in (every, weekly):
        fields = when.split()
        assert len(fields) == 5 and all(set(field) <= set("0123456789*/,-") for field in fields)
    assert not any("%" in command for _, command in lines), "cron would make it a newline"

    first = fire(run, variables)
    # Nothing to mail.
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert loaded(shop) == [1, 2, 3]
    verdict = fire(verify, variables)
    assert (verdict.returncode, verdict.stdout, verdict.stderr) == (0, "", "")

    with held(shop):
        second = fire(run, variables)
        assert second.returncode == 3 and "FM0501" in second.stderr
    (shop / "data" / "orders-2.csv").write_text(MORE)
    assert fire(run, variables).returncode == 0
    assert loaded(shop) == [1, 2, 3, 4]


# ── systemd


def unit(file: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(file)
    return parser


def test_systemd_knows_the_units_and_the_service_runs(shop: Path, path: str, tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    program = path.split(":")[0] + "/floodmark"
    for file in (RECIPES / "systemd").iterdir():
        text = file.read_text().replace("/srv/shop", str(shop)).replace("/usr/local/bin/floodmark", program)
        (units / file.name).write_text(text)
    files = sorted(units.iterdir())
    assert [file.name for file in files] == ["floodmark-shop.service", "floodmark-shop.timer"]
    timer = unit(files[1])["Timer"]["OnCalendar"]
    if shutil.which("systemd-analyze"):
        # It wants a folder for its own files, which a machine without systemd running may not have.
        apart = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *files], env=apart, capture_output=True, text=True)
        about = [line for line in done.stderr.splitlines() if "floodmark-shop" in line]
        assert (done.returncode, about) == (0, []), done.stderr
        subprocess.run(["systemd-analyze", "calendar", timer], check=True, capture_output=True)

    service = unit(files[0])["Service"]
    command, folder = shlex.split(service["ExecStart"]), Path(service["WorkingDirectory"])
    fine = {0, *map(int, service["SuccessExitStatus"].split())}
    run = lambda: subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True).returncode
    assert run() == 0
    assert loaded(shop) == [1, 2, 3]
    with held(shop):
        code = run()
    assert code == 3 and code in fine and 143 in fine


# ── Airflow, Dagster, Prefect


AIRFLOW = """
import json
import shop
run = shop.shop.test()
(task,) = run.get_task_instances()
print()
print(json.dumps({"run": run.state, "task": task.state, "result": task.xcom_pull(task_ids="orders")}))
"""


def test_airflow_runs_the_task_and_skips_it_while_another_run_is_at_work(shop: Path, tmp_path: Path) -> None:
    home = tmp_path / "airflow"
    apart = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(RECIPES / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    prepare = [starter("airflow").parent / "airflow", "db", "migrate"]
    subprocess.run(prepare, env={**os.environ, **apart}, check=True, capture_output=True)
    with held(shop):
        busy = started("airflow", AIRFLOW, shop, tmp_path, **apart)
    assert busy["task"] == "skipped"
    done = started("airflow", AIRFLOW, shop, tmp_path, **apart)
    assert (done["run"], done["task"]) == ("success", "success")
    assert done["result"]["rows"]["inserted"] == 3
    assert loaded(shop) == [1, 2, 3]


DAGSTER = """
import json
import dagster as dg
import shop
done = dg.materialize([shop.orders, shop.equals_its_source])
(made,) = done.asset_materializations_for_node("orders")
(check,) = done.get_asset_check_evaluations()
print(json.dumps({
    "metadata": {name: value.value for name, value in made.metadata.items()},
    "passed": check.passed,
    "schedules": [one.cron_schedule for one in shop.defs.schedules],
}))
"""


def test_dagster_makes_the_asset_and_checks_it(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    apart = {"DAGSTER_HOME": str(tmp_path / "dagster")}
    first = started("dagster", DAGSTER, shop, tmp_path, **apart)
    assert (first["metadata"]["changed"], first["metadata"]["watermark"]) == (3, "2024-01-02 08:15:00")
    assert first["metadata"]["accounting"]["inserted"] == 3 and first["passed"]
    assert first["schedules"] == ["*/5 * * * *"]
    again = started("dagster", DAGSTER, shop, tmp_path, **apart)
    assert again["metadata"]["changed"] == 0 and again["passed"]
    assert loaded(shop) == [1, 2, 3]


PREFECT = """
import json
import shop
task = shop.shop()
print()
print(json.dumps({"state": task.name, "result": task.result()}))
"""


def test_prefect_runs_the_flow_and_a_busy_one_is_no_failure(shop: Path, tmp_path: Path) -> None:
    apart = {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
    first = started("prefect", PREFECT, shop, tmp_path, **apart)
    assert (first["state"], first["result"]["rows"]["inserted"]) == ("Completed", 3)
    with held(shop):
        busy = started("prefect", PREFECT, shop, tmp_path, **apart)
    assert (busy["state"], busy["result"]) == ("Skipped", None)
    assert loaded(shop) == [1, 2, 3]


# ── dbt


def test_dbt_stands_between_two_loads(path: str, tmp_path: Path) -> None:
    if SERVER is None:
        pytest.fail("FLOODMARK_TEST_POSTGRES is not set: `cargo xtask services up` says what to set")
    project = Path(shutil.copytree(RECIPES / "dbt", tmp_path / "dbt"))
    name = f"dbt_{uuid.uuid4().hex}"
    psql(SERVER, f"CREATE DATABASE {name}")
    at = urlsplit(SERVER)
    # The tests' own server is reached by a socket, whose folder stands behind the question mark.
    asked = dict(parse_qsl(at.query))
    url = at._replace(path=f"/{name}").geturl()
    env = {
        "PATH": f"{path}:{starter('dbt').parent}",
        "HOME": str(tmp_path),
        "WAREHOUSE_URL": url,
        "WAREHOUSE_HOST": asked.get("host") or at.hostname or "",
        "WAREHOUSE_PORT": asked.get("port") or str(at.port or 5432),
        "WAREHOUSE_USER": at.username or "",
        "WAREHOUSE_PASSWORD": at.password or "",
        "WAREHOUSE_DATABASE": name,
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }

    def run() -> list[dict]:
        done = subprocess.run([project / "run.sh"], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        made = rows(f"sqlite:///{project / 'dashboard.db'}", "revenue")
        return [{name: int(value) if name != "customer" else value for name, value in row.items()} for row in made]

    try:
        want = [{"customer": "ada", "orders": 2, "cents": 1400}, {"customer": "ben", "orders": 1, "cents": 2550}]
        assert run() == want
        assert run() == want
        (project / "data" / "orders-2.csv").write_text(MORE)
        assert run() == [*want, {"customer": "cy", "orders": 1, "cents": 50}]
        # What dbt drops is dropped from the dashboard, too.
        psql(url, "DELETE FROM raw_orders WHERE customer = 'ben'")
        assert [row["customer"] for row in run()] == ["ada", "cy"]
    finally:
        psql(SERVER, f"DROP DATABASE {name} WITH (FORCE)")


# ── GitHub


def test_the_steps_of_the_workflow_run(shop: Path, tmp_path: Path) -> None:
    workflow = yaml.safe_load((RECIPES / "github" / "floodmark.yml").read_text())
    # YAML takes the key `on` for a truth.
    assert workflow[True]["pull_request"]["paths"]
    steps = [step for step in workflow["jobs"]["prove"]["steps"] if "run" in step]
    assert [step["name"] for step in steps] == ["install", "check", "prove"]

    # What is kept in the repository, and the Python of the runner.
    (shop / "wheels").mkdir()
    shutil.copy(os.environ["FLOODMARK_WHEEL"], shop / "wheels")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "runner"], check=True)
    env = {"PATH": f"{tmp_path / 'runner' / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), "PIP_NO_INDEX": "1"}
    # As GitHub runs them: by bash, which stops at the first command that fails.
    step = lambda text: subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text], cwd=shop, env=env, capture_output=True, text=True
    )
    for one in steps:
        done = step(one["run"])
        assert done.returncode == 0, done.stdout + done.stderr
    certificates = [json.loads(line) for line in (shop / "certificates.jsonl").read_text().splitlines()]
    assert [one["pipeline"] for one in certificates] == ["orders"]
    assert certificates[0]["status"] == "proven", certificates[0]

    # A change that breaks the file breaks the build.
    file = shop / "floodmark.yaml"
    file.write_text(file.read_text().replace("upsert", "append\n    append: naive"))
    assert step(steps[1]["run"]).returncode == 2
