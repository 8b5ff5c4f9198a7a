"""Jobs that outlast their reservations: long ones, ones that block the loop, and ones whose process stands still."""

from tests.chaos.fleet import Serving


def long(fleet, *, names, times):
    """Run jobs that last so many times as long as their reservation, beside a consumer with nothing to do (rows 12 and 13)."""
    seconds = fleet.options["reservation_timeout"] * times
    worker = fleet.start()
    for name in names:
        task = fleet.task(name)
        task.enqueue(*((0, seconds) if name in ("work", "thread") else (seconds,)))
    fleet.journals.wait_for("start", process=worker.name)
    with Serving(fleet.build("idle")[0]):
        fleet.drain(timeout=seconds * len(names) + 30)
    fleet.stop(worker)
    return fleet.history()


def paused(fleet, *, name):
    """Let a process stand still in a job, past its reservation, and go on while another one has the job (row 14).

    Returns:
        the history, and what the server held after the late one had had its say: ready, delayed, reserved, dead.
    """
    worker, gate, journals = fleet.start(), fleet.gate("gate"), fleet.journals
    fleet.task(name).enqueue(str(gate), *([1] if name == "flaky" else []))
    journals.wait_for("start", process=worker.name)
    fleet.pause(worker)
    with Serving(fleet.build("other")[0]):
        journals.wait_for("start", process="other")
        gate.with_name(f"{gate.name}.{worker.pid}").touch()
        fleet.resume(worker)
        journals.wait_for("stale", process=worker.name)
        fleet.stop(worker)
        meanwhile = fleet.counts()
        gate.touch()
        fleet.drain()
    return fleet.history(), meanwhile
