"""What the hand-written floors share: names, and the shape of a reply."""

STREAM, GROUP, CONSUMER = "bench", "workers", "one"
BATCH = 100
BLOCK_MS = 5000
SLOTS = 32


def entries_of(reply):
    """The entries in an answer to XREADGROUP, which RESP3 wraps once more than RESP2."""
    entries = dict(reply)[STREAM.encode()]
    return entries[0] if len(entries) == 1 and isinstance(entries[0], list) else entries
