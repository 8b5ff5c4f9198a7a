"""Go's dedup names: text and bytes are the same, periods are told apart."""

from taskq.wire import names


def test_text_and_bytes_name_the_same():
    """A name may be given as text or as its bytes."""
    assert names.go_dedup_key("q", "t", "n") == names.go_dedup_key("q", "t", b"n")
    assert len(names.go_dedup_key("q", "t", "n")) == 19


def test_windows_are_told_apart():
    """Moments of one period share a name, those of the next do not."""
    first, same, later = (names.once_in_name(b"\x90", 60.0, now) for now in (120.0, 179.9, 180.0))
    assert first == same != later
    assert names.once_delayed_name(b"\x90") == b"\x90"
