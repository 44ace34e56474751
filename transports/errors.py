"""Errors of the transports, one tree.

TransportError
├── AddressError          an address that cannot be used
├── CodecError            bytes that are not a value, or a value that has no bytes
├── EnvelopeError         bytes that are not an event, or an event that has no bytes
├── FrameError            bytes that are not a message of ours
└── UnreachableError      the peer, or the address to listen on, cannot be had now (retryable)
    └── BacklogFullError  the peer is there and too much waits for it already (retryable)
"""

from __future__ import annotations

from typing import ClassVar


class TransportError(Exception):
    """Root of everything `transports` raises on purpose."""

    retryable: ClassVar[bool] = False


class AddressError(TransportError):
    """An address is malformed, or names a transport that this version does not have."""


class CodecError(TransportError):
    """Bytes cannot be decoded, or a value cannot be encoded, by the chosen codec."""


class EnvelopeError(TransportError):
    """An event cannot be read from its envelope, or written into one.

    Attributes:
        field: which field is wrong; None when it is the envelope as a whole.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.field = field
        super().__init__(message)


class FrameError(TransportError):
    """A message's header or size is not what this version speaks."""


class UnreachableError(TransportError):
    """No connection to the peer is established, or an address cannot be listened on."""

    retryable: ClassVar[bool] = True


class BacklogFullError(UnreachableError):
    """The peer is there, but as much as may wait for it is waiting already."""
