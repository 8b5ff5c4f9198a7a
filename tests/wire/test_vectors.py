"""Golden bytes made by Go taskq v3: every vector, in each direction that it has."""

import json
from pathlib import Path

import pytest

from taskq.core.retry import backoff
from taskq.errors import DecodeError
from taskq.wire import args, ascii85, envelope, farmhash, names, s2

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "go_v3_public.json").read_text())

WIDER = {
    "int8s", "int16s", "int64s", "uint8s", "uint16s", "uint64s", "[]int64",
    "time pre epoch ns", "time max 34 bit", "time > 34 bit",
}  # fmt: skip
"""Messages whose Go types keep a width, or nanoseconds, that Python values do not have: written shorter by us."""


def vectors(section):
    return [pytest.param(vector, id=f"{section}-{index}") for index, vector in enumerate(VECTORS[section])]


@pytest.mark.parametrize("vector", vectors("messages"))
def test_message_vector_is_read_and_written(vector):
    """A message of Go is read, and written back as the same bytes."""
    message = envelope.decode(bytes.fromhex(vector["message_hex"]))
    assert message.args_bytes.hex() == vector["args_bin_hex"]
    assert (message.id.hex(), message.attempt, message.task) == (vector["id_hex"], vector["reserved_count"], vector["task"])
    written = envelope.encode(message)
    if vector["byte_exact"]:
        assert written.hex() == vector["message_hex"]
    assert envelope.decode(written) == message


@pytest.mark.parametrize("vector", vectors("messages"))
def test_argument_vector_is_read_and_written(vector):
    """Arguments of Go become values, and the values become the same bytes where Python has the same type."""
    data = bytes.fromhex(vector["args_bin_hex"])
    values = args.decode(data)
    written = args.encode(None if vector["args_nil"] else values)
    if vector["desc"] in WIDER:
        assert written != data
        assert args.decode(written) == values
    else:
        assert written == data


@pytest.mark.parametrize("vector", vectors("decode"))
def test_decode_vector_is_read_or_refused(vector):
    """What Go reads is read with the same fields, and what Go refuses is refused."""
    body = bytes.fromhex(vector["input_hex"])
    if "error" in vector:
        with pytest.raises(DecodeError):
            envelope.decode(body)
        return
    message = envelope.decode(body)
    assert message.task == vector["task"]
    assert message.args_bytes.hex() == (vector["args_bin_hex"] or "c0")
    assert (message.id.hex(), message.attempt) == (vector["id_hex"], vector["reserved_count"])


@pytest.mark.parametrize("vector", vectors("ascii85"))
def test_ascii85_vector_is_written_or_read(vector):
    """Text and bytes agree with Go's, and so do the errors."""
    if vector["kind"] == "encode":
        assert ascii85.encode(bytes.fromhex(vector["input_hex"])) == vector["text"]
    elif "error" in vector:
        with pytest.raises(DecodeError):
            ascii85.decode(vector["text"])
    else:
        assert ascii85.decode(vector["text"]).hex() == vector["output_hex"]


@pytest.mark.parametrize("vector", vectors("farm"))
def test_farmhash_vector_agrees(vector):
    """Both hashes agree with Go's."""
    data = bytes.fromhex(vector["input_hex"])
    assert f"{farmhash.hash64(data):016x}" == vector["hash64"]
    assert f"{farmhash.hash64_with_seed(data, int(vector['seed'], 16)):016x}" == vector["hash64_with_seed"]


@pytest.mark.parametrize("vector", vectors("dedup"))
def test_dedup_vector_agrees(vector):
    """The 19 bytes under which Go remembers a name are ours too."""
    queue = bytes.fromhex(vector["queue_hex"]).decode(errors="surrogateescape")
    task = bytes.fromhex(vector["task_hex"]).decode(errors="surrogateescape")
    assert names.go_dedup_key(queue, task, bytes.fromhex(vector["name_hex"])).hex() == vector["full_name_hex"]


@pytest.mark.parametrize("vector", [v for v in vectors("dedup") if v.values[0]["kind"] == "OnceInPeriod"])
def test_once_in_vector_names_agree(vector):
    """The name of a message once in a period ends in Go's period and window number."""
    name = bytes.fromhex(vector["name_hex"])
    values = name[:-16] if vector["period_ns"] != "0" else name
    period = int(vector["period_ns"]) / 1e9
    built = {names.once_in_name(values, period, int(vector[key]) / 1e9) for key in ("now_ns_before", "now_ns_after")}
    assert name in built
    assert args.decode(values) is not None


@pytest.mark.parametrize("vector", vectors("backoff"))
def test_backoff_vector_agrees_until_go_overflows(vector):
    """Our backoff is Go's for all counts until its shift overflows and the delay falls (F22)."""
    minimum, maximum = int(vector["min_backoff_ns"]) / 1e9, int(vector["max_backoff_ns"]) / 1e9
    delays = [int(delay) / 1e9 for delay in vector["delay_ns_by_reserved_count"]]
    sound = next((i for i in range(1, len(delays)) if delays[i] < delays[i - 1]), len(delays))
    assert sound >= min(20, vector["retry_limit"])
    for count in range(sound):
        assert backoff(count, minimum, maximum) == pytest.approx(delays[count])


@pytest.mark.parametrize("vector", vectors("handler_args"))
def test_handler_argument_vector_is_read(vector):
    """Arguments that Go's handlers accept are read, with as many values as Go counts."""
    data = bytes.fromhex(vector["args_bin_hex"])
    if "called_with" not in vector:
        return_or_refuse(data)
        return
    values = args.decode(data)
    assert isinstance(values, tuple)


def return_or_refuse(data):
    try:
        assert isinstance(args.decode(data), tuple)
    except DecodeError as error:
        assert str(error)  # noqa: PT017 - either answer is right here; a third is not


def test_go_s2_vectors_decompress():
    """At least one vector is a real S2 block, and all of them expand to what Go compressed."""
    packed = [v for v in VECTORS["messages"] if v["compression"] == "s2"]
    assert packed
    assert all(envelope.decode(bytes.fromhex(v["message_hex"])).args_bytes.hex() == v["args_bin_hex"] for v in packed)
    assert s2.decompress(s2.compress(b"taskq " * 100)) == b"taskq " * 100
