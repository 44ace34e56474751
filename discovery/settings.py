"""Every setting of the daemon: its unit, its range, its default and why the default is what it is.

`discovery.config` is the only reader of files, environment and flags; it takes names, types and
ranges from the annotations here. A component is given its own group, never the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

_KIB = 1024
_MIB = 1024 * 1024

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "text", "json"]
EventGeneration = Literal["a", "b"]
Role = Literal["registry", "broker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """The range of a number, both ends included; checked where settings are read."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class NoneWords:
    """The texts that stand for `None`, because TOML and the environment cannot write it."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """How long registrations outlive the last sign of life of their owner."""

    min_ttl_s: Annotated[float, Between(low=0.1, high=3600.0)] = 1.0
    """Seconds; a shorter TTL asked for is refused. Below a second, an ordinary scheduling pause
    of a busy worker would look like its death."""

    max_ttl_s: Annotated[float, Between(low=0.1, high=86400.0)] = 3600.0
    """Seconds; a longer TTL asked for is refused. A dead worker is listed for up to this long."""

    recovery_s: Annotated[float, Between(low=0.0, high=86400.0)] = 10.0
    """Seconds after a start or a pause of the daemon in which no lease's end is believed; should
    be the longest TTL in use. The default is the TTL clients ask for unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """How watchers learn of changes and prove that their view is complete."""

    beat_interval_s: Annotated[float, Between(low=0.05, high=60.0)] = 1.0
    """Seconds between beats; a watcher that misses three calls its view stale. One second finds
    a lost last message soon, at a cost of one small message per watcher and second."""

    window_beats: Annotated[int, Between(low=2, high=100)] = 5
    """Beats that a beat looks back on, so that a watcher that lost fewer needs no request."""

    history_revisions: Annotated[int, Between(low=16, high=10_000_000)] = 20_000
    """Revisions kept in memory for watchers that fell behind; one that missed more is sent a
    snapshot. The default outlasts a burst in which 10,000 workers start and register twice."""

    chunk_bytes: Annotated[int, Between(low=4 * _KIB, high=256 * _KIB)] = 256 * _KIB
    """Bytes of one part of a snapshot; small enough that other replies are not held up behind
    it, large enough that 10,000 instances are a few dozen messages."""

    snapshot_bytes_per_s: Annotated[int, Between(low=64 * _KIB, high=1 << 40)] = 64 * _MIB
    """Bytes of snapshots per second, over all watchers; past it they are told when to come back.
    Half of a 1 Gbit/s line: a fleet of routers that restarts does not push keep-alives out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What a peer may send; more is refused, so that one peer cannot exhaust the daemon."""

    max_record_bytes: Annotated[int, Between(low=1 * _KIB, high=256 * _KIB)] = 128 * _KIB
    """Bytes of one record as it is stored; a plain model card is about 1 KiB, one with parsers
    and file references a few times that."""

    max_unit: Annotated[int, Between(low=1, high=116)] = 64
    """Records registered as one atomic unit; etcd takes 128 operations in one transaction, and
    a unit needs further ones for its lease and its guards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """How records are written."""

    event_generation: EventGeneration = "a"
    """Generation of the peer's event plane that decides keys, records, subjects and frames; all
    writers of a fleet must agree, both are read. The default is that of the peer's 1.1 line."""

    compare_s: Annotated[float, Between(low=0.0, high=86400.0)] = 60.0
    """Seconds between two comparisons of the daemon's view with all keys of a store elsewhere; 0
    makes none. Old versions of etcd can lose a change on its way to a watch; a minute bounds how
    long a view is wrong then, and 10,000 keys cost both sides some 20 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """How a broker passes events on, for `role = "broker"`."""

    registry: str = "zmq://127.0.0.1:4710"
    """URL of the registry in which the broker is found: that of daemons, or etcd://."""

    namespace: str = "dynamo"
    """Namespace whose publishers and subscribers find this broker; the default is the peer's."""

    publishers: str = "zmq://127.0.0.1:4720"
    """URL of the address that publishers connect to; loopback as nothing is authenticated yet."""

    subscribers: str = "zmq://127.0.0.1:4721"
    """URL of the address that subscribers connect to."""

    advertise: Annotated[str | None, NoneWords(("",))] = None
    """Host name or IP address that others are told to connect to; empty means the hosts of the
    two addresses, which must then be ones that can be connected to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSettings:
    """The cache of models' files on this node; workers and `discoveryctl` read the variables."""

    root: Annotated[str | None, NoneWords(("",))] = None
    """Folder of the cache; empty means a folder beside the daemon's data (STATE_DIRECTORY), or
    under the temporary folder. Name one on a disk of its own size, which outlives restarts."""

    id: Annotated[str | None, NoneWords(("",))] = None
    """Name of the cache in the whole fleet, for a disk that several nodes share; empty means the
    host's name and the folder, so that each node downloads for itself."""

    source: Annotated[str | None, NoneWords(("",))] = None
    """URL of the files of models that name none; {name} and {version} stand for the model's. None
    by default: files come from where somebody said they are."""

    credentials_file: Annotated[str | None, NoneWords(("",))] = None
    """TOML file of secrets by alias, readable by its owner only; empty means that they are only
    looked for in variables. Requests name aliases, and never carry a secret."""

    budget_bytes: Annotated[int, Between(low=0, high=10**14)] = 0
    """Bytes that the cache may hold; what was not used for longest goes first, and never what is
    in use. 0 sets no limit, as nobody knows the disk better than its operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is logged and how; always to standard error."""

    level: LogLevel = "info"
    """Least severity that is logged; info is one line per change of state, debug per message."""

    format: LogFormat = "auto"
    """Form of a line; auto is text on a terminal and one JSON object per line elsewhere, since
    what is not a terminal is most often a log collector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """All settings of `discoveryd`; the groups are the tables of the configuration file."""

    role: Role = "registry"
    """What the program is: the registry, or a broker that passes events on and needs a registry
    elsewhere. One program for both, so that there is one thing to install."""

    store: str = "memory://"
    """URL of where registrations live; memory needs no other service and forgets at the end."""

    listen: tuple[str, ...] = ("zmq://127.0.0.1:4710",)
    """URLs of the addresses that take requests, at least one; loopback because nothing is
    authenticated yet."""

    events: Annotated[str | None, NoneWords(("",))] = None
    """URL of the address that changes are published on; empty means the port after the request
    port, so that one address is enough to know."""

    http: Annotated[str | None, NoneWords(("", "off"))] = "127.0.0.1:4712"
    """Host and port of health, readiness and metrics; empty or off serves none. On by default
    so that the first question of an operator has an answer."""

    insecure: bool = False
    """Whether addresses that other machines can reach are accepted although nothing is
    authenticated; whoever reaches them can register and remove anything."""

    shutdown_s: Annotated[float, Between(low=0.0, high=600.0)] = 5.0
    """Seconds that a stop may take before it is forced; below the 10 s after which container
    runtimes kill."""

    lease: LeaseSettings = field(default_factory=LeaseSettings)
    """Table `lease`."""

    watch: WatchSettings = field(default_factory=WatchSettings)
    """Table `watch`."""

    limits: LimitSettings = field(default_factory=LimitSettings)
    """Table `limits`."""

    registry: RegistrySettings = field(default_factory=RegistrySettings)
    """Table `registry`."""

    broker: BrokerSettings = field(default_factory=BrokerSettings)
    """Table `broker`."""

    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    """Table `artifacts`."""

    log: LogSettings = field(default_factory=LogSettings)
    """Table `log`."""
