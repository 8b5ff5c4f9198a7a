"""The demo: its numbers add up, it ends by itself or on Ctrl-C, and it is told in lines, in a terminal and as JSON."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskq.cli import main
from taskq.demo import Demo, DemoOptions, SourceFiles

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
FILES = 30
KEYS = {
    *("files", "words", "processed", "retries", "failures", "fallbacks", "dead", "duplicates", "batches", "left"),
    *("seconds", "throughput", "latency_p50_ms", "latency_p99_ms"),
}


@pytest.fixture
def texts(tmp_path):
    """Return a folder of thirty files that hold 0, 1, 2 ... words."""
    (tmp_path / "below").mkdir()
    for count in range(FILES):
        (tmp_path / "below" / f"{count:02}.txt").write_text("word\n" * count)
    return tmp_path


def demo(texts, *arguments):
    return main(["demo", "--path", str(texts), "--pattern", "*.txt", *arguments])


def test_json_is_one_object_whose_numbers_add_up(texts, capsys):
    """Every file is counted once, every failure is retried or falls back, and progress goes to stderr."""
    assert demo(texts, "--json", "--rate", "1000") == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    report = json.loads(out)
    assert set(report) == KEYS
    late, hopeless = 5, 2
    expected = {
        "files": FILES,
        "words": sum(range(FILES)),
        "processed": FILES + FILES + FILES,  # counted, added up, notified
        "retries": late + hopeless * 2,
        "failures": hopeless,
        "fallbacks": hopeless,
        "dead": 0,
        "duplicates": FILES,
        "left": 0,
    }
    assert {key: report[key] for key in expected} == expected
    assert report["batches"] >= 1
    assert report["seconds"] >= 0.5  # the delayed message alone takes half a second
    assert report["throughput"] == pytest.approx((3 * FILES + hopeless) / report["seconds"], rel=0.01)
    assert 0 < report["latency_p50_ms"] <= report["latency_p99_ms"] < 1000 * report["seconds"]
    first, *_, last = err.splitlines()
    assert first == f"0/{2 * FILES + hopeless} enqueued, {FILES} duplicates refused"
    assert last == f"{3 * FILES + hopeless}/{3 * FILES + hopeless} 30 files, 435 words"
    assert len(err.splitlines()) <= report["seconds"] + 2


def test_plain_lines_end_with_the_table(texts, capsys):
    """Where stdout is no terminal, names and values are plain text; a limit takes the first files."""
    assert demo(texts, "--limit", "4") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = dict(line.split("  ", 1) for line in lines if "  " in line)
    assert {name: value.strip() for name, value in rows.items()}.items() >= {
        "files": "4", "words counted": "6", "retries": "8", "fallbacks run": "2", "left in the queues": "0",
    }.items()  # fmt: skip
    assert len(rows) == 13


@pytest.mark.parametrize(("installed", "marks"), [(True, "taskq demo"), (False, "duplicates refused")])
def test_a_terminal_gets_a_live_display_if_rich_is_there(texts, capsys, monkeypatch, installed, marks):
    """With rich there is a titled table; without it plain lines say the same."""
    monkeypatch.delitem(sys.modules, "taskq.demo.live", raising=False)
    if not installed:
        monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert demo(texts, "--limit", "3") == 0
    out = capsys.readouterr().out
    assert marks in out
    assert "words counted" in out
    assert out.startswith("0/") is not installed


def test_unreadable_files_do_not_keep_it_from_ending(texts):
    """A file that is gone when its turn comes is tried twice and put aside."""
    demo = Demo(SourceFiles(texts, "*.txt"), DemoOptions(limit=8, rate=1000.0))
    (texts / "below" / "05.txt").unlink()
    (texts / "below" / "06.txt").unlink()
    report = asyncio.run(demo.run(lambda *_: None))
    assert (report.files, report.dead, report.failures, report.left) == (6, 2, 4, 0)
    assert not demo.interrupted


def test_a_failing_consumer_ends_it(texts, monkeypatch):
    """An error of the library itself is raised, not waited out."""
    demo = Demo(SourceFiles(texts, "*.txt"), DemoOptions(limit=1))

    async def fail():
        raise RuntimeError("broken")

    monkeypatch.setattr(demo.app, "run", fail)
    with pytest.raises(RuntimeError, match="broken"):
        asyncio.run(demo.run(lambda *_: None))


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_ctrl_c_drains_and_says_what_was_left(texts, form):
    """Nothing of what was enqueued is lost: it is done or left. The status is 130."""
    command = [sys.executable, "-m", "taskq", "demo", "--path", str(texts), "--pattern", "*.txt", "--rate", "0.1", *form]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as program:
        progress = program.stderr if form else program.stdout
        assert progress.readline().startswith("0/")
        while "30 files" not in (line := progress.readline()):
            assert line
        program.send_signal(signal.SIGINT)
        out, err = program.communicate()
    assert program.returncode == 130
    assert err.splitlines()[-1] == "taskq: interrupted; 20 messages were left"
    if form:
        report = json.loads(out)
        assert (report["left"], report["processed"]) == (20, 2 * FILES + 10)
