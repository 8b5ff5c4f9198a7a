"""Where the servers that stand in for SQS are wrong. Each test fails when its server is mended; then what works round it can go.

SQS itself is what AWS's documentation says. Servers beside moto are asked where the environment names them (`sqs_support`).
"""

import itertools
import os
import threading
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends
from sqs_support import SERVERS, set_credentials

from taskq.backends.sqs.texts import size_of
from taskq_testing.services.sqs import localstack_server, ministack_server, moto_server

pytestmark = pytest.mark.slow

MAKERS = {"moto": moto_server, "ministack": ministack_server, "localstack": localstack_server}
_numbers = itertools.count(1)


def on(*names):
    """Run a test on those of these servers that are named; without any it is none."""
    wanted = [name for name in names if name in SERVERS]

    def choose(test):
        test.__test__ = bool(wanted)
        return pytest.mark.parametrize("server", wanted, indirect=True)(test)

    return choose


@pytest.fixture(scope="module")
def server(request):
    with MAKERS[request.param]() as server:
        yield server


@pytest.fixture
def client(server, monkeypatch):
    set_credentials(monkeypatch)
    client = server.client()
    yield client
    client.close()


@pytest.fixture
def make(client):
    """Make queues."""

    def make(fifo=False, **attributes):
        name = f"f{os.getpid()}-{next(_numbers)}{'.fifo' if fifo else ''}"
        attributes |= {"FifoQueue": "true"} if fifo else {}
        return client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    return make


def receive(client, url, **more):
    return client.receive_message(QueueUrl=url, **more).get("Messages", [])


def queue_of(url):
    """Return a queue inside moto."""
    return sqs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].queues[url.rsplit("/", 1)[1]]


def expired_and_taken(client, url):
    """Return the receipt of a message that another has received since."""
    client.send_message(QueueUrl=url, MessageBody="x")
    (stale,) = receive(client, url, VisibilityTimeout=1)
    (fresh,) = receive(client, url, VisibilityTimeout=30, WaitTimeSeconds=20)
    assert fresh["MessageId"] == stale["MessageId"]
    return stale["ReceiptHandle"]


# -- receipts


@on("moto", "localstack")
def test_a_stale_receipt_deletes_what_another_owns(client, make):
    """SQS says that it might not; so ours is not asked once a reservation is over by our own clock."""
    url = make()
    client.delete_message(QueueUrl=url, ReceiptHandle=expired_and_taken(client, url))
    counted = client.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
    assert counted["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "0"


@on("ministack")
def test_a_stale_receipt_is_an_error(client, make):
    """Where SQS answers a stale deletion as if it had been done, ministack refuses it."""
    url = make()
    with pytest.raises(ClientError):
        client.delete_message(QueueUrl=url, ReceiptHandle=expired_and_taken(client, url))


@on("moto", "localstack")
def test_a_stale_receipt_shows_what_another_owns(client, make):
    """The old owner can make visible what the new one works on."""
    url = make()
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=expired_and_taken(client, url), VisibilityTimeout=0)
    assert len(receive(client, url)) == 1


@on("moto")
def test_twelve_hours_are_counted_from_the_sending(client, make):
    """SQS counts them from the delivery; a message that is older than that can be kept there, and not in moto."""
    url = make()
    client.send_message(QueueUrl=url, MessageBody="x")
    (message,) = receive(client, url)
    queue_of(url)._messages[0].sent_timestamp -= 13 * 3_600_000
    with pytest.raises(ClientError, match="43200 seconds"):
        client.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=30)


# -- limits


@on("moto")
def test_sizes_count_characters(client, make):
    """SQS counts bytes: a megabyte of two-byte characters is two megabytes, which it refuses."""
    text = "ü" * 700_000
    assert size_of(text, {}) > 1024 * 1024
    assert client.send_message(QueueUrl=make(), MessageBody=text)["MessageId"]


@on("moto")
def test_one_bad_entry_fails_a_whole_batch(client, make):
    """SQS takes the others; here a batch that is refused as a whole is halved until the culprit stands alone."""
    strange = {"a": {"DataType": "Strange", "StringValue": "x"}}
    entries = [{"Id": "good", "MessageBody": "x"}, {"Id": "bad", "MessageBody": "x", "MessageAttributes": strange}]
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        client.send_message_batch(QueueUrl=make(), Entries=entries)


@on("moto")
def test_control_characters_are_taken(client, make):
    """SQS refuses them; reasons of dead letters hold none."""
    assert client.send_message(QueueUrl=make(), MessageBody="x\x00")["MessageId"]


@on("ministack", "localstack")
def test_any_delay_is_taken(client, make):
    """SQS refuses more than 900 seconds; what is sent from here never says more."""
    assert client.send_message(QueueUrl=make(), MessageBody="x", DelaySeconds=901)["MessageId"]


@on("ministack", "localstack")
def test_any_visibility_is_taken(client, make):
    """SQS refuses more than twelve hours; what is reserved from here is never meant for longer."""
    assert receive(client, make(), VisibilityTimeout=43_201) == []


@on("moto", "ministack", "localstack")
def test_any_number_of_attributes_is_taken(client, make):
    """SQS refuses more than ten; what is sent from here has one at most."""
    attributes = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(11)}
    assert client.send_message(QueueUrl=make(), MessageBody="x", MessageAttributes=attributes)["MessageId"]


@on("ministack")
def test_any_type_of_attribute_is_taken(client, make):
    """SQS refuses one that it does not know; from here all are a String."""
    strange = {"a": {"DataType": "Strange", "StringValue": "x"}}
    assert client.send_message(QueueUrl=make(), MessageBody="x", MessageAttributes=strange)["MessageId"]


@on("localstack")
def test_nobody_is_at_fault(client, make):
    """SQS says of an entry that is wrong that its sender is at fault; here the code tells, whatever that says."""
    answer = client.delete_message_batch(QueueUrl=make(), Entries=[{"Id": "a", "ReceiptHandle": "none"}])
    assert answer["Failed"][0]["SenderFault"] is False


# -- order


@on("moto")
def test_duplicates_are_forgotten_with_the_message(client, make):
    """SQS remembers a dedup id for five minutes, also after its message was deleted."""
    url = make(fifo=True)
    for _ in range(2):
        client.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d")
        (message,) = receive(client, url)
        client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert message["Body"] == "x"


# -- concurrency


@on("moto")
def test_two_receives_take_one_message(client, make):
    """Moto has no lock; `moto_server` lets its calls take turns. Here a second receive comes in the middle of a first one."""
    url, brought, nested = make(), [], []
    client.send_message(QueueUrl=url, MessageBody="x")
    mark, receive_message = Message.mark_received, SQSBackend.receive_message.__wrapped__

    def second():
        backend = sqs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
        brought.extend(receive_message(backend, queue_of(url).name, 1, 0, 30))

    def mark_received(self, **kwargs):
        if not nested:
            nested.append(threading.Thread(target=second, daemon=True))
            nested[0].start()
            nested[0].join(60)
        return mark(self, **kwargs)

    with patch.object(Message, "mark_received", mark_received):
        first = receive(client, url)
    assert len(first) == len(brought) == 1


@on("moto")
def test_polls_look_once_a_second_and_never_end_where_time_stands_still(make):
    """SQS answers when something becomes visible; `moto_server` looks more often, and virtual time asks without waiting."""
    name, looks = queue_of(make()).name, []

    class Enough(Exception):
        pass

    def wait_for_messages(_, seconds):
        looks.append(seconds)
        if len(looks) == 5:
            raise Enough

    receive_message = SQSBackend.receive_message.__wrapped__
    backend = sqs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"]
    frozen = patch("moto.sqs.models.unix_time", lambda: 1000.0)
    with patch.object(Queue, "wait_for_messages", wait_for_messages), frozen, pytest.raises(Enough):
        receive_message(backend, name, 1, 2, 30)
    assert looks == [1] * 5


@on("moto", "ministack")
def test_nothing_can_be_moved_back(client, make):
    """SQS moves dead letters back by itself where it is asked to; what looks after ours receives and sends them."""
    with pytest.raises(ClientError, match=r"\(500\)|InvalidAction"):
        client.start_message_move_task(SourceArn="arn:aws:sqs:us-east-1:123456789012:x")
