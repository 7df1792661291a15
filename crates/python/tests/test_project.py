"""A pipeline file in Python: the commands, their results and what is raised."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import floodmark as fm
from conftest import rows


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two pipelines over CSV into SQLite."""
    (tmp_path / "orders.csv").write_text("id,name,day\n1,apple,2024-01-01\n2,orange,2024-01-02\n3,grape,2024-01-03\n")
    (tmp_path / "users.csv").write_text("id,name\n1,ann\n")
    path = tmp_path / "floodmark.yaml"
    path.write_text(
        """version: 1
connections: { warehouse: "sqlite:///warehouse.db" }
pipelines:
  orders:
    source: { files: orders.csv }
    destination: { connection: warehouse, table: orders }
    key: [id]
    watermark: { column: day }
  users:
    source: { files: users.csv }
    destination: { connection: warehouse, table: users }
    key: [id]
"""
    )
    return path


def test_results_are_those_of_the_command_line(project: Path, cli) -> None:
    done = fm.Project(project).run()
    assert [one.pipeline for one in done] == ["orders", "users"] and done["orders"].rows.inserted == 3
    again = fm.Project(project).run("orders")
    assert again.status == "nothing_new"
    told = json.loads(cli("run", "orders", "-f", str(project), "--format", "json"))
    assert {**told, "run": 0, "seconds": 0} == {**again, "run": 0, "seconds": 0}


def test_what_a_command_knows_a_method_has(project: Path) -> None:
    shop = fm.Project(project.parent)
    assert shop.plan("orders")["rows"]["inserted"] == 3
    shop.run()
    assert shop.state("orders")["watermark"]["value"] == "2024-01-03"
    assert [one["pipeline"] for one in shop.state()] == ["orders", "users"]
    assert [run["status"] for run in shop.runs("orders", limit=5)] == ["ok"]
    assert shop.verify("orders")["status"] == "equal"
    assert shop.check()[0]["status"] == "ok"
    filled = shop.backfill("orders", from_="2024-01-01", to="2024-01-03", by="1d")
    assert filled["backfill"]["loaded"] == 2
    assert shop.backfill("orders", status=True)["pipeline"] == "orders"


def test_a_file_written_by_python_is_continued_by_the_command_line(project: Path, cli) -> None:
    shop = fm.Project(project)
    shop.run("orders")
    with open(project.parent / "orders.csv", "a") as file:
        file.write("4,melon,2024-01-04\n")
    told = json.loads(cli("run", "orders", "-f", str(project), "--format", "json"))
    assert (told["rows"]["inserted"], told["watermark"]["before"]) == (1, "2024-01-03")
    assert shop.run("orders").status == "nothing_new"


def test_differences_are_a_result_and_not_an_error(project: Path) -> None:
    import sqlite3

    shop = fm.Project(project)
    shop.run("orders")
    with sqlite3.connect(project.parent / "warehouse.db") as db:
        db.execute("UPDATE orders SET name = 'other' WHERE id = 2")
    db.close()
    found = shop.verify("orders")
    assert (found["status"], found["rows"]["different"]) == ("different", 1)
    with pytest.raises(AttributeError):
        found.rows
    assert shop.verify("orders", repair=True)["repair"]["rows"]["updated"] == 1


def test_promises_are_proven_by_processes_of_their_own(project: Path) -> None:
    found = fm.Project(project).prove("users")
    assert (found["pipeline"], found["status"]) == ("users", "proven")
    assert {trial["verdict"] for trial in found["trials"] if trial["promise"] == "P2"} == {"held"}


def test_mistakes_of_a_file_are_told_at_once(project: Path) -> None:
    project.write_text("version: 1\npipelines:\n  a: { sorce: {} }\n  b: { load: upzert }\n")
    with pytest.raises(fm.ConfigError) as error:
        fm.Project(project).run()
    assert len(error.value.mistakes) > 2 and error.value.mistakes[0].line == 3
    with pytest.raises(fm.ConfigError) as error:
        fm.Project(project.parent / "none.yaml").run()
    assert error.value.code == "FM0101"


def test_options_are_told_as_keywords(project: Path) -> None:
    shop = fm.Project(project)
    with pytest.raises(fm.ConfigError) as error:
        shop.verify("orders", reparo=True)
    assert error.value.message == "there is no option 'reparo'" and error.value.help == ("did you mean 'repair'?",)
    with pytest.raises(fm.ConfigError) as error:
        shop.plan(no_such_option=True)
    assert error.value.message == "there is no option 'no_such_option'" and not error.value.help
    with pytest.raises(fm.ConfigError) as error:
        shop.backfill("orders", from_="2024-01-01", to="2024-02-01", by="month")
    assert "for 'by'" in error.value.message and "--" not in str(error.value)


def test_every_result_says_something(project: Path) -> None:
    shop = fm.Project(project)
    assert repr(shop.check()).startswith("[<floodmark orders: ok>,\n <floodmark users: ok · warning: ")
    shop.run("orders")
    told = {
        "table orders · day up to 2024-01-03 · 1 file": shop.state("orders"),
        "not loaded yet": shop.state("users"),
        "3 rows in the table": shop.verify("orders"),
        "2 of 2 intervals loaded": shop.backfill("orders", from_="2024-01-01", to="2024-01-03", by="1d"),
        "2 intervals in, 0 missing": shop.backfill("orders", status=True),
        "started 20": shop.runs("orders")[0],
    }
    for fact, result in told.items():
        assert fact in repr(result) and "None>" not in repr(result)
        assert all(part in result._repr_html_() for part in fact.split(" · "))
    (project.parent / "users.csv").unlink()
    assert 'error: no file matches "users.csv"' in repr(shop.check("users"))
    assert "error: no file matches &quot;users.csv&quot;" in shop.check("users")._repr_html_()


def test_a_failed_run_is_an_exception_with_its_result(project: Path) -> None:
    (project.parent / "users.csv").write_text("id,name\n1,ann\n,bob\n")
    with pytest.raises(fm.DataError) as error:
        fm.Project(project).run()
    assert (error.value.code, error.value.place.line) == ("FM0302", 3)
    assert error.value.result.pipeline == "users" and error.value.result.status == "failed"
    # The other one ran.
    assert fm.Project(project).runs("orders")[0]["status"] == "ok"


def test_another_run_holds_the_pipeline(sqlite: str) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow():
        yield {"id": 1}
        began.set()
        go_on.wait(30)

    holder = threading.Thread(target=fm.load, args=(slow(), sqlite), kwargs={"table": "t", "key": "id"})
    holder.start()
    assert began.wait(30)
    with pytest.raises(fm.Busy) as error:
        fm.load([{"id": 2}], sqlite, table="t", key="id")
    assert error.value.code == "FM0501"
    threading.Timer(0.3, go_on.set).start()
    assert fm.load([{"id": 2}], sqlite, table="t", key="id", wait=30).rows.inserted == 1
    holder.join()
    assert len(rows(sqlite, "t")) == 2


def test_other_threads_of_python_go_on(sqlite: str) -> None:
    """The GIL is free while rows are loaded."""
    turns, done = [0], threading.Event()

    def count() -> None:
        while not done.is_set():
            turns[0] += 1
            time.sleep(0)

    other = threading.Thread(target=count)
    other.start()
    import pyarrow as pa

    before = turns[0]
    fm.load(pa.table({"id": range(200_000)}), sqlite, table="t", key="id")
    went = turns[0] - before
    done.set()
    other.join()
    assert went > 100


def test_progress_and_log(sqlite: str, caplog: pytest.LogCaptureFixture) -> None:
    events = []
    main = threading.get_ident()

    def told(event: dict) -> None:
        assert threading.get_ident() == main
        events.append(event)

    with caplog.at_level(logging.INFO, logger="floodmark"):
        fm.load([{"id": 1}], sqlite, table="t", key="id", progress=told)
        fm.load([{"id": 2, "new": 1}], sqlite, table="t", key="id")
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "started" and kinds[-1] == "finished" and "committed" in kinds
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any('gets a new column, "new"' in text for text in warnings)
    assert any(record.levelno == logging.INFO and "committed" in record.getMessage() for record in caplog.records)


IN_MEMORY = "import floodmark as fm; fm.load([{'id': 1}], 'sqlite:///:memory:', table='t', key='id')"


def test_a_warning_is_seen_where_nobody_set_up_logging() -> None:
    done = subprocess.run([sys.executable, "-c", IN_MEMORY], capture_output=True, text=True)
    assert "is a database in memory" in done.stderr and done.returncode == 0
    quiet = f"import logging; logging.getLogger('floodmark').addHandler(logging.NullHandler()); {IN_MEMORY}"
    assert subprocess.run([sys.executable, "-c", quiet], capture_output=True, text=True).stderr == ""


def test_progress_is_shown_where_it_is_just_asked_for(project: Path, sqlite: str, capsys: pytest.CaptureFixture) -> None:
    fm.load([{"id": 1}], sqlite, table="t", key="id", progress=True)
    fm.load(project.parent / "users.csv", sqlite, key="id", progress=True)
    fm.Project(project, progress=True).run("orders")
    lines = capsys.readouterr().err.split("\n")
    assert [line.split("\r")[-1].rstrip() for line in lines] == ["t: finished", "users: finished", "orders: finished", ""]
    assert lines[0].startswith("\rt: started\r")
    fm.load([{"id": 2}], sqlite, table="t", key="id", progress=False)
    assert capsys.readouterr().err == ""


def test_an_exception_of_the_progress_callback_stops_the_run(sqlite: str) -> None:
    def told(event: dict) -> None:
        if event["kind"] == "planned":
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fm.load([{"id": 1}], sqlite, table="t", key="id", progress=told)
    with pytest.raises(fm.SourceError):
        fm.read(sqlite, "t")
    assert fm.load([{"id": 1}], sqlite, table="t", key="id").rows.inserted == 1


INTERRUPTED = """
import sys, time, floodmark as fm
def rows():
    yield [{"id": n} for n in range(20_000)]
    print("reading", flush=True)
    if sys.argv[2] == "python":
        while True:
            time.sleep(0.01)
try:
    if sys.argv[2] == "python":
        fm.load(rows(), sys.argv[1], table="t", key="id")
    else:
        import pyarrow as pa
        ids = pa.chunked_array([range(at, at + 100_000) for at in range(0, 30_000_000, 100_000)])
        print("reading", flush=True)
        fm.load(pa.table({"id": ids}), sys.argv[1], table="t", key="id")
except fm.Interrupted as error:
    assert isinstance(error, KeyboardInterrupt) and not isinstance(error, Exception)
    print(error.code, error.state)
    sys.exit(7)
except KeyboardInterrupt:
    sys.exit(8)
"""


@pytest.mark.parametrize("where", ["python", "engine"])
def test_ctrl_c_stops_cleanly(sqlite: str, where: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, sqlite, where], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    with child:
        assert child.stdout.readline() == "reading\n"
        time.sleep(0.7)
        child.send_signal(signal.SIGINT)
        told = child.stdout.read()
    assert child.returncode == 7, told
    assert told.startswith("FM0602 nothing was written")
    # The lock is free, and what was not committed is gone.
    with pytest.raises(fm.SourceError):
        fm.read(sqlite, "t")
    assert fm.load([{"id": 1}], sqlite, table="t", key="id").rows.inserted == 1


def test_the_command_line_is_installed(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "floodmark"
    for line in ([str(program)], [sys.executable, "-m", "floodmark"]):
        done = subprocess.run([*line, "--version"], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout == f"floodmark {fm.__version__}\n"
    (tmp_path / "t.csv").write_text("id\n1\n")
    load = [sys.executable, "-m", "floodmark", "load", "t.csv", "sqlite:///t.db", "--key", "id", "-v"]
    assert "committed" in subprocess.run(load, capture_output=True, text=True, cwd=tmp_path, check=True).stderr
    failed = subprocess.run([sys.executable, "-m", "floodmark", "explain", "FM9999"], capture_output=True, cwd=tmp_path)
    assert failed.returncode == 2
