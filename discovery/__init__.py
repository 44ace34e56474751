"""Service discovery for LLM-serving fleets: what exists, and where."""

from discovery.client import Discovery, connect
from discovery.connection import ConnectionState
from discovery.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    DiscoveryError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    LeaseExpiredError,
    ModelConflictError,
    NotFoundError,
    PermissionDeniedError,
    RecordError,
    ResourceExhaustedError,
    SettingError,
    StaleRequestError,
    UnauthenticatedError,
    UnavailableError,
)
from discovery.eventplane.items import (
    Ended,
    EventCounters,
    EventItem,
    Joined,
    Lost,
    Message,
    Restarted,
)
from discovery.eventplane.publisher import EventPublisher
from discovery.eventplane.subscriber import EventSubscriber
from discovery.events import Added, Cause, Event, Removed
from discovery.eventtransport import (
    EventCodecKind,
    EventTransport,
    EventTransportKind,
    NatsTransport,
    ZmqBrokerTransport,
    ZmqTransport,
)
from discovery.follower import StreamState
from discovery.followfield import follow_field
from discovery.ids import (
    EndpointId,
    EventChannelId,
    InstanceId,
    ModelId,
    extract_endpoint_id,
    extract_event_channel_id,
    extract_model_id,
    parse_id,
)
from discovery.instance import EndpointInstance, EventChannelInstance, Instance, ModelInstance
from discovery.listing import Listing
from discovery.models import (
    AlreadyExists,
    CatalogRecord,
    CatalogStatus,
    Claimed,
    ClaimRecord,
    ClaimStatus,
)
from discovery.names import Kind
from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery, Query
from discovery.registrations import Failure
from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec, Spec
from discovery.watch import WatchStream

__all__ = [
    "Added",
    "AlreadyExists",
    "AlreadyExistsError",
    "CatalogRecord",
    "CatalogStatus",
    "Cause",
    "ClaimRecord",
    "ClaimStatus",
    "Claimed",
    "ConnectionState",
    "DeadlineExceededError",
    "Discovery",
    "DiscoveryError",
    "Ended",
    "EndpointId",
    "EndpointInstance",
    "EndpointQuery",
    "EndpointSpec",
    "Event",
    "EventChannelId",
    "EventChannelInstance",
    "EventChannelQuery",
    "EventChannelSpec",
    "EventCodecKind",
    "EventCounters",
    "EventItem",
    "EventPublisher",
    "EventSubscriber",
    "EventTransport",
    "EventTransportKind",
    "FailedPreconditionError",
    "Failure",
    "Instance",
    "InstanceId",
    "InternalError",
    "InvalidArgumentError",
    "Joined",
    "Kind",
    "LeaseExpiredError",
    "Listing",
    "Lost",
    "Message",
    "ModelConflictError",
    "ModelId",
    "ModelInstance",
    "ModelQuery",
    "ModelSpec",
    "NatsTransport",
    "NotFoundError",
    "PermissionDeniedError",
    "Query",
    "RecordError",
    "Removed",
    "ResourceExhaustedError",
    "Restarted",
    "SettingError",
    "Spec",
    "StaleRequestError",
    "StreamState",
    "UnauthenticatedError",
    "UnavailableError",
    "WatchStream",
    "ZmqBrokerTransport",
    "ZmqTransport",
    "connect",
    "extract_endpoint_id",
    "extract_event_channel_id",
    "extract_model_id",
    "follow_field",
    "parse_id",
]
