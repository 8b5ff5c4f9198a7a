"""What the tests of the SQS backend share: a stand-in for boto3's client, and a Go consumer's arithmetic."""

import asyncio
import contextlib
import math
import os
from datetime import datetime

from botocore.exceptions import ClientError

from taskq_testing.services.sqs import CREDENTIALS, SqsServer

SERVERS = os.environ.get("TASKQ_TEST_SQS_SERVERS", "moto").split(",")
if os.environ.get("TASKQ_LOCALSTACK") == "1" and "localstack" not in SERVERS:
    SERVERS.append("localstack")
ENDPOINT = os.environ.get("TASKQ_TEST_SQS_ENDPOINT")
if ENDPOINT:
    SERVERS = ["given"]


def given_server():
    return SqsServer("given", ENDPOINT)


def set_credentials(monkeypatch):
    """Set what boto3 insists on, and hide what this machine's user may have; a given endpoint keeps its own."""
    if ENDPOINT:
        return
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


async def until_soon(condition):
    """Wait until something is so, and leave the machine to the server meanwhile."""
    while not condition():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()


def refusal(code, text="because", operation="SendMessageBatch", status=400):
    return ClientError(
        {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}}}, operation
    )


class Scripted:
    """Answers calls as a test says, and notes them: a queue named `q` exists, everything else is for `answer`."""

    def __init__(self, answer=None, attributes=None):
        self.calls = []
        self.answer = answer or (lambda operation, parameters: {})
        self.attributes = attributes or {"MaximumMessageSize": "1048576"}
        self.meta = type("Meta", (), {"service_model": type("Model", (), {"service_name": "sqs"})})

    def __getattr__(self, operation):
        if operation.startswith("_"):
            raise AttributeError(operation)

        def call(**parameters):
            if operation == "get_queue_url":
                return {"QueueUrl": f"http://sqs/{parameters['QueueName']}"}
            if operation == "get_queue_attributes" and "MaximumMessageSize" in parameters["AttributeNames"]:
                return {"Attributes": self.attributes}
            self.calls.append((operation, parameters))
            answer = self.answer(operation, parameters)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call

    def of(self, operation):
        return [parameters for name, parameters in self.calls if name == operation]


def accepted(operation, parameters):
    """Accept everything."""
    return {"Successful": [{"Id": entry["Id"]} for entry in parameters.get("Entries", ())]}


def go_fires_at(sent_at, delay_seconds, until, lags=()):
    """Return when Go taskq v3 runs a message that it receives with this attribute, by its own code.

    It receives after the delay, puts the message back for what is left, and does that wrong (F20): a delay over 15 minutes is
    sent with 15 minutes, and an attribute that says now plus the delay minus 15 minutes, cut off to seconds.

    Args:
        sent_at: when it was sent.
        delay_seconds: with which DelaySeconds.
        until: the attribute's text, or None.
        lags: how much later than due each step is received, in turn; 0 after the last.
    """
    now, until, lags = sent_at + delay_seconds, until and datetime.fromisoformat(until).timestamp(), list(lags)
    while True:
        now += lags.pop(0) if lags else 0.0
        left = max(0.0, until - now) if until else 0.0
        if left <= 0:
            return now
        if left <= 900:
            now, until = now + int(left), None
        else:
            now, until = now + 900, math.floor(now + left - 900)
