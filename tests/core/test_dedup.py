"""Dedup keys: equal for what is the same, different for everything else, and kept long enough."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.core.dedup import canonical, claim
from taskq.errors import WireError
from taskq.message import Message, Once
from taskq.options import QueueOptions
from taskq.wire import args, names

OPTIONS = QueueOptions()
GO = QueueOptions(dedup_compatible=True)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def message(*values, task="t"):
    return Message(task=task, args_bytes=args.encode(values), decoder=args.decode)


def key(item, queue="q", now=1000.0, options=OPTIONS):
    return claim(queue, item, item.delay, now, options).key


def shuffled(value):
    if isinstance(value, dict):
        return {name: shuffled(item) for name, item in reversed(value.items())}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(plain)
def test_map_order_does_not_matter(value):
    """The same map in another order, at any depth, is the same message (F35)."""
    assert canonical(value) == canonical(shuffled(value))
    assert key(message(value).once_in(60)) == key(message(shuffled(value)).once_in(60))


@given(plain, plain)
def test_different_values_differ(first, second):
    """Equal encodings mean equal values: integers, floats, text and bytes are told apart."""
    if canonical(first) == canonical(second):
        assert args.encode((first,)) == args.encode((shuffled(second),)) or first == second
    assert canonical(1) != canonical(1.0) != canonical(True)
    assert canonical("a") != canonical(b"a")


parts = st.text(alphabet="ab\0\x01/", max_size=4)


@given(st.lists(st.tuples(parts, parts.filter(bool), parts.filter(bool)), min_size=2, max_size=30, unique=True))
def test_crafted_names_do_not_collide(triples):
    """However queue, task and name are cut, no two share a key (F36)."""
    keys = {key(Message(task=task).named(name), queue=queue) for queue, task, name in triples}
    assert len(keys) == len(triples)


class Plan(msgspec.Struct):
    name: str
    sizes: set[int]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({3, 1, 200}, {200, 1, 3}),
        ({"b", "a", "c"}, ["a", "b", "c"]),
        (Plan("x", {5, 1000, 3}), {"sizes": [3, 5, 1000], "name": "x"}),
        ((1, [2]), [1, (2,)]),
        (UUID(int=7), str(UUID(int=7))),
    ],
)
def test_what_travels_as_the_same_data_is_the_same(first, second):
    """Sets, structs, tuples and identifiers are deduplicated by the plain data that a consumer receives."""
    assert canonical(first) == canonical(second)


def test_values_without_a_canonical_form_are_refused():
    """A value without end, and a set without an order, are refused in a sentence, not by an error of the interpreter."""
    endless = []
    endless.append(endless)
    with pytest.raises(WireError, match="too deep"):
        canonical(endless)
    with pytest.raises(WireError, match="different kinds"):
        canonical({1, "a"})


def test_cuts_of_one_text_do_not_collide():
    """Queue, task and name that join to the same text have keys of their own wherever it is cut."""
    text = "anamebnamec"
    cuts = [(text[:i], text[i:j], text[j:]) for i in range(len(text)) for j in range(i + 1, len(text))]
    assert len({key(Message(task=task).named(name), queue=queue) for queue, task, name in cuts}) == len(cuts)


@pytest.mark.slow
def test_a_hundred_thousand_names_do_not_collide():
    """Names that join to the same text all have keys of their own."""
    text = "a" * 400
    keys = {key(Message(task=text[:i]).named(text[i:j])) for i in range(1, 400) for j in range(i + 1, 401)}
    assert len(keys) == 399 * 400 // 2


def test_kinds_do_not_collide():
    """A name, arguments, a period and another period give four keys."""
    item = message("x")
    kinds = [item.named("x"), item.once(5), item.once_in(60), item.once_in(61), item.once_in(60, "y"), item.once_in(60, "x", "y")]
    assert len({key(kind) for kind in kinds}) == len(kinds)
    assert key(item.once_in(60)) == key(item.once_in(60, "x"))
    assert key(item.named("x")) == key(item.named(b"x"))


def test_a_period_has_borders():
    """Messages of one window share a key, those of the next have another."""
    item = message("x").once_in(60)
    assert key(item, now=120.0) == key(item, now=179.9) != key(item, now=180.0)


@given(st.floats(0, 1e7), st.floats(0.1, 1e7), st.booleans())
def test_a_key_outlives_delay_and_period(delay, period, compatible):
    """A key is taken for at least the delay plus the period, in either mode (F37)."""
    options = GO if compatible else OPTIONS
    item = Message(task="t", dedup=Once(period=period, delayed=True), decoder=args.decode)
    assert claim("q", item, delay, 0.0, options).ttl >= delay + period
    assert claim("q", Message(task="t").named("n"), delay, 0.0, options).ttl >= max(delay, options.dedup_window)


def test_no_dedup_no_claim():
    """A plain message claims nothing."""
    assert claim("q", message(1), 0.0, 0.0, OPTIONS) is None


def test_compatible_keys_are_gos():
    """On a compatible queue each kind has the key that Go computes."""
    item = message("hello", 1)
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert key(item.named("n"), options=GO) == key(item.named(b"n"), options=GO) == names.go_dedup_key("q", "t", "n")
    assert key(item.once(5), options=GO) == key(item.once_at(at), options=GO) == names.go_dedup_key("q", "t", item.args_bytes)
    in_period = names.once_in_name(item.args_bytes, 60.0, 1000.0)
    assert key(item.once_in(60), options=GO) == names.go_dedup_key("q", "t", in_period)
    by_key = names.once_in_name(args.encode(("k",)), 60.0, 1000.0)
    assert key(item.once_in(60, "k"), options=GO) == names.go_dedup_key("q", "t", by_key)
