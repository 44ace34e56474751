"""What etcd refuses, and what of it came to no answer, as errors of this package's own."""

from __future__ import annotations

import re

import grpc
import grpc.aio

_LAST_REASON = re.compile(r".*last error: UNKNOWN: \S+ (Failed to connect to remote host: )?")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")  # gRPC's own errors may have its memory behind them
_TOO_LARGE = "grpc: received message larger than max"


class EtcdError(Exception):
    """etcd refused; its own words are the message."""


class UnreachableError(EtcdError):
    """No answer came: it may have been done, or not."""


class LeaseNotFoundError(EtcdError):
    """The lease has ended, or was never granted."""


class LeaseExistsError(EtcdError):
    """A lease of that id lives."""


class RevisionCompactedError(EtcdError):
    """The history at that revision is gone."""


class FutureRevisionError(EtcdError):
    """The store has not come to that revision."""


class DeniedError(EtcdError):
    """Who we are, or are not, may not do that."""


class ExhaustedError(EtcdError):
    """etcd has no room, or too much to do."""


_BY_TEXT: dict[str, type[EtcdError]] = {
    "etcdserver: requested lease not found": LeaseNotFoundError,
    "etcdserver: lease already exists": LeaseExistsError,
    "etcdserver: mvcc: required revision has been compacted": RevisionCompactedError,
    "etcdserver: mvcc: required revision is a future revision": FutureRevisionError,
    "etcdserver: authentication failed, invalid user ID or password": DeniedError,
    "etcdserver: user name is empty": DeniedError,
}
_BY_CODE: dict[grpc.StatusCode, type[EtcdError]] = {
    grpc.StatusCode.PERMISSION_DENIED: DeniedError,
    grpc.StatusCode.UNAUTHENTICATED: DeniedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.INVALID_ARGUMENT: EtcdError,
    grpc.StatusCode.FAILED_PRECONDITION: EtcdError,
    grpc.StatusCode.OUT_OF_RANGE: EtcdError,
    grpc.StatusCode.NOT_FOUND: EtcdError,
    grpc.StatusCode.UNIMPLEMENTED: EtcdError,
}


def etcd_error(error: grpc.aio.AioRpcError, endpoint: str = "") -> EtcdError:
    """Return what gRPC says, in those words, of which `endpoint` names the member."""
    text, code = _UNPRINTABLE.split(error.details() or "", 1)[0], error.code()
    found = _BY_TEXT.get(text) or _BY_CODE.get(code, UnreachableError)
    if text.startswith(_TOO_LARGE):
        found = EtcdError
    if found is UnreachableError:
        reason = _LAST_REASON.sub("", text) or code.name
        text = f"{endpoint}: {reason}" if endpoint else reason
    return found(text)
