"""What an `sqs://` URL says. Values only; credentials are none of them, for boto3 finds those where its users keep them."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import msgspec

from taskq.errors import ConfigError

__all__ = ["Settings", "settings_for"]

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.fifo)?")
_LONGEST = 80
_DEAD = "-dead"
_FIFO = ".fifo"
_SWITCH = {"yes": True, "no": False}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Which queues of which account.

    Attributes:
        region: the region; None means what boto3 finds.
        endpoint: the URL of the service; None means AWS's own for the region.
        profile: the profile of boto3's configuration; None means what boto3 finds.
        role: the role to assume, as an ARN; None means none.
        owner: the account that owns the queues; None means that of the credentials.
        prefix: what the names of queues begin with in SQS.
        create: whether queues that do not exist are made.
        long_poll: whether the service waits for messages; otherwise it is asked again and again.
        group: the group of FIFO messages that name none.
    """

    region: str | None = None
    endpoint: str | None = None
    profile: str | None = None
    role: str | None = None
    owner: str | None = None
    prefix: str = ""
    create: bool = True
    long_poll: bool = True
    group: str = "taskq"

    def queue_name(self, name: str) -> str:
        """Return the name of a queue in SQS.

        Raises:
            ConfigError: SQS takes no such name.
        """
        full = self.prefix + name
        if not _NAME.fullmatch(full) or len(full) + len(_DEAD) > _LONGEST:
            raise ConfigError(
                f"{full!r} is no name of a queue in SQS; give letters, digits, - and _ only, {_LONGEST - len(_DEAD)} at most, "
                "and .fifo at the end where order is to be kept"
            )
        return full


def is_fifo(name: str) -> bool:
    """Return whether a queue of this name keeps order."""
    return name.endswith(_FIFO)


def dead_name(name: str) -> str:
    """Return the name of the queue in SQS that holds the dead letters of another."""
    return f"{name.removesuffix(_FIFO)}{_DEAD}{_FIFO if is_fifo(name) else ''}"


def settings_for(url: str) -> Settings:
    """Return what a URL says, such as `sqs://?region=eu-west-1&prefix=staging-`.

    Raises:
        ConfigError: it cannot be read, or says what no URL should.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ConfigError("credentials do not belong into an sqs:// URL; give them to boto3: in its environment, files or roles")
    if parts.netloc or parts.path.strip("/"):
        raise ConfigError(
            "sqs:// takes no host and no path; give sqs://?region=... and sqs://?endpoint=http://... for a local one"
        )
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, text in given.items():
        if name not in Settings.__struct_fields__:
            raise ConfigError(f"sqs:// has no option {name!r}; its options are: {', '.join(Settings.__struct_fields__)}")
        if name in ("create", "long_poll") and text not in _SWITCH:
            raise ConfigError(f"{name}={text} of the sqs:// URL is unknown; give yes or no")
        if not text and name != "prefix":
            raise ConfigError(f"{name} of the sqs:// URL is empty; give it a value, or leave it out")
    switches = {name: _SWITCH[text] for name, text in given.items() if name in ("create", "long_poll")}
    return msgspec.convert(given | switches, Settings)
