"""What of the failure space a run met."""

from taskq_testing.history import History
from taskq_testing.simulator.coverage import met


def test_a_fault_is_met_in_the_state_of_its_message():
    """The same fault counts once for each state and each call in which it came."""
    history = History()
    history.record(0, "fault", process="api", message="m", outcome="lost_request", reason="send")
    history.record(1, "stored", message="m", due=5)
    history.record(2, "fault", process="broker", outcome="broker_restart")
    history.record(5, "due", message="m")
    history.record(6, "reserved", message="m", receipt=1)
    history.record(7, "start", message="m", run=1)
    history.record(7, "fault", process="w", message="m", outcome="slow_handler")
    history.record(8, "fault", process="w", message="m#1", outcome="lost_reply", reason="extend")
    history.record(9, "fault", process="w", outcome="clock_skew")
    assert met(history) == {
        ("new", "lost_request", "send"),
        ("-", "broker_restart", "broker"),
        ("running", "slow_handler", "handler"),
        ("running", "lost_reply", "extend"),
        ("-", "clock_skew", "process"),
    }
