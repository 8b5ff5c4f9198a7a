"""What botocore raises, in our words; and the one thing that matters before: whether the call may have had its effect."""

from __future__ import annotations

from typing import Any

from botocore import exceptions

from taskq.errors import BackendError, BackendUnavailable, ConfigError, TaskqError

__all__ = ["code_of", "concerns_content", "did_nothing", "is_missing", "passes", "translate"]

_THROTTLED = frozenset(
    {"RequestThrottled", "RequestThrottledException", "Throttling", "ThrottlingException", "ThrottledException"}
    | {"TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "OverLimit"}
    | {"KmsThrottled", "PriorRequestNotComplete", "PurgeQueueInProgress", "QueueDeletedRecently"}
)
_BROKEN = frozenset({"InternalError", "InternalFailure", "InternalServerError", "ServiceUnavailable", "RequestTimeout"})
_MISSING = frozenset({"NonExistentQueue", "QueueDoesNotExist"})
_IDENTITY = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId", "AuthFailure"}
    | {"MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature", "InvalidSecurity"}
    | {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidSignatureException", "NotAuthorized"}
)
_FORBIDDEN = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "OptInRequired"})
_CONTENT = frozenset(
    {"BatchRequestTooLong", "InvalidMessageContents", "InvalidParameterValue", "InvalidParameterValueException"}
    | {"InvalidParameterCombination", "InvalidAttributeValue", "InvalidBatchEntryId", "MissingParameter", "ValidationError"}
)
_NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.UnauthorizedSSOTokenError,
    exceptions.SSOTokenLoadError,
)
_NO_CONNECTION = (exceptions.EndpointConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyConnectionError)

_NO_CLIENT = (exceptions.ProfileNotFound, exceptions.InvalidRegionError, exceptions.ConfigParseError, ValueError)
_SENTENCES: tuple[tuple[Any, type[TaskqError], str], ...] = (
    (
        exceptions.NoRegionError,
        ConfigError,
        "no AWS region is set for {where}; give sqs://?region=..., or set AWS_DEFAULT_REGION or a profile as for boto3",
    ),
    (
        _NO_CREDENTIALS,
        BackendError,
        "no AWS credentials were found for {where}: {text}; set them as for boto3, in the environment, a profile or a role",
    ),
    (exceptions.ParamValidationError, BackendError, "{where} was asked what boto3 does not take: {text}"),
    (_NO_CLIENT, ConfigError, "boto3 cannot make a client for {where}: {text}"),
)


def code_of(error: BaseException) -> str:
    """Return the code of a refusal, such as `NonExistentQueue`; empty for what is none."""
    if not isinstance(error, exceptions.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def passes(code: str) -> bool:
    """Return whether the service may take in another moment what it refused with this code."""
    return code in _THROTTLED or code in _BROKEN


def is_missing(error: BaseException) -> bool:
    """Return whether the queue does not exist."""
    return code_of(error) in _MISSING


def concerns_content(error: BaseException) -> bool:
    """Return whether a request was refused for what is in it, so that a part of it may be taken."""
    return code_of(error) in _CONTENT


def did_nothing(error: BaseException) -> bool:
    """Return whether it is certain that the request had no effect, and another moment may be better: it may be repeated."""
    return isinstance(error, _NO_CONNECTION) or code_of(error) in _THROTTLED or is_missing(error)


def translate(error: Exception, where: str) -> TaskqError:
    """Return what to raise instead.

    Args:
        error: what boto3 or the socket raised.
        where: the service and the queue, for people.
    """
    if isinstance(error, TaskqError):
        return error
    if isinstance(error, exceptions.ClientError):
        return _refused(error, where)
    text = str(error) or type(error).__name__
    for kinds, make, sentence in _SENTENCES:
        if isinstance(error, kinds):
            return make(sentence.format(where=where, text=text))
    return BackendUnavailable(f"{where} cannot be reached: {text}")


def _refused(error: exceptions.ClientError, where: str) -> TaskqError:
    code = code_of(error)
    text = f"{code}: {error.response.get('Error', {}).get('Message', '')}".rstrip(": ")
    if code in _THROTTLED or code in _BROKEN or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return BackendUnavailable(f"{where} cannot do this now ({text})")
    if code in _MISSING:
        return BackendUnavailable(f"{where} does not exist ({text})")
    if code in _IDENTITY:
        return BackendError(
            f"{where} refuses these credentials ({text}); check the ones that boto3 finds, and this machine's clock"
        )
    if code in _FORBIDDEN:
        return BackendError(f"{where} does not allow {error.operation_name} to these credentials ({text}); grant it in IAM")
    return BackendError(f"{where} refused {error.operation_name} ({text})")
