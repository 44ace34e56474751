"""Read the daemon's settings: flag, then environment, then file, then default. The only reader."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from discovery.errors import InvalidArgumentError, SettingError
from discovery.eventtransport import EventCodecKind, EventTransportKind
from discovery.names import check_segment, shown
from discovery.setting import Given, Setting, refusal, settings_in
from discovery.settings import ArtifactSettings, DaemonSettings
from discovery.stores import check_store_url
from transports.address import parse_url
from transports.errors import AddressError
from transports.nats.url import parse_nats_address

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Collection, Iterator, Mapping

_KindT = TypeVar("_KindT", EventTransportKind, EventCodecKind)

_PREFIX = "DISCOVERY_"

_OTHER_VARIABLES = frozenset(
    {"URL", "TENANT", "CONFIG", "EVENT_PLANE", "EVENT_PLANE_CODEC", "EVENT_HOST", "EVENT_NATS"}
)
"""What else the prefix is used for: by clients, by programs on their start, by the event plane."""

_SECRETS = "CREDENTIAL_"
"""What the variables of secrets begin with after the prefix; the rest is an alias."""

_LISTENING = ("zmq", "nats", "memory")
"""What this version can listen on."""

_SERVICE_LINK = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)=.*"
    r"|(\w+_)?PORT=(tcp|udp|sctp)://.*"
)
"""Variables that Kubernetes sets in pods beside a Service named "discovery" or "discovery-…".

Source: Kubernetes documentation, "Service", "Environment variables".
"""


def load_daemon_settings(
    argv_flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None
) -> DaemonSettings:
    """Return the daemon's settings from everything that may set them, checked.

    Args:
        argv_flags: values of flags by setting, "store" or "lease_recovery_s"; None is not given.
        environ: the process's environment; a list is separated by spaces or commas.
        file: the TOML file; None means the one that DISCOVERY_CONFIG names, if it does.

    Raises:
        SettingError: a setting is unknown, a value is not allowed, or the file cannot be read.
    """
    settings = {setting.id: setting for setting in settings_in(DaemonSettings)}
    if file is None and environ.get("DISCOVERY_CONFIG"):
        file = Path(environ["DISCOVERY_CONFIG"])
    given: dict[str, Given] = {}
    if file is not None:
        given.update(_from_file(file, settings.values()))
    given.update(_from_environ(environ, settings))
    given.update(_from_flags(argv_flags, settings))
    values = {settings[key].name: settings[key].read(item) for key, item in given.items()}
    loaded: DaemonSettings = _filled(DaemonSettings(), values, "")
    _check_together(loaded, given)
    return loaded


def add_flags(parser: ArgumentParser) -> None:
    """Add a flag per setting; what it parses is `argv_flags` of `load_daemon_settings`.

    A list's flag may be repeated; the flag of a boolean may stand alone.
    """
    for setting in settings_in(DaemonSettings):
        flag = "--" + setting.id.replace("_", "-")
        if setting.is_list:
            parser.add_argument(flag, action="append", metavar="URL", help=setting.expected)
        elif setting.kind is bool:
            parser.add_argument(
                flag, nargs="?", const="true", metavar="BOOL", help=setting.expected
            )
        else:
            parser.add_argument(flag, metavar="VALUE", help=setting.expected)


def event_transport_from_env(environ: Mapping[str, str]) -> EventTransportKind | None:
    """Return the transport that DISCOVERY_EVENT_PLANE names; None when unset or empty.

    Raises:
        SettingError: it names something else.
    """
    return _choice(environ, "DISCOVERY_EVENT_PLANE", EventTransportKind)


def event_codec_from_env(environ: Mapping[str, str]) -> EventCodecKind | None:
    """Return the codec that DISCOVERY_EVENT_PLANE_CODEC names; None when unset or empty.

    Raises:
        SettingError: it names something else.
    """
    return _choice(environ, "DISCOVERY_EVENT_PLANE_CODEC", EventCodecKind)


def event_host_from_env(environ: Mapping[str, str]) -> str | None:
    """Return what DISCOVERY_EVENT_HOST says publishers are to advertise; None when unset or empty.

    A host name, an IP address or the name of a network interface; whoever uses it looks.
    """
    return environ.get("DISCOVERY_EVENT_HOST") or None


def event_nats_from_env(environ: Mapping[str, str]) -> str | None:
    """Return the NATS servers that DISCOVERY_EVENT_NATS names; None when unset or empty.

    A URL such as nats://host:port; whoever uses it reads it.
    """
    return environ.get("DISCOVERY_EVENT_NATS") or None


def artifact_settings_from_env(environ: Mapping[str, str]) -> ArtifactSettings:
    """Return the settings of the artifact cache as the variables say them.

    Raises:
        SettingError: a value is not allowed.
    """
    start = f"{_PREFIX}ARTIFACTS_"
    values = {}
    for setting in settings_in(ArtifactSettings):
        variable = start + setting.id.upper()
        if variable in environ:
            given = Given(value=environ[variable], source=f"variable {variable}", is_text=True)
            values[setting.name] = setting.read(given)
    loaded: ArtifactSettings = _filled(ArtifactSettings(), values, "")
    return loaded


def data_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder of a service's data, which systemd names, None where nobody does."""
    folder = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder) if folder else None


def process_environment() -> Mapping[str, str]:
    """Return the environment of this process, for those that are used without a `main`."""
    return os.environ


def default_event_transport(store_url: str) -> EventTransportKind:
    """Return the transport of events beside a store: ZMQ where all is local, else NATS."""
    is_local = store_url.partition("://")[0] in {"memory", "file"}
    return EventTransportKind.ZMQ if is_local else EventTransportKind.NATS


def default_codec(transport: EventTransportKind) -> EventCodecKind:
    """Return the codec of events on `transport` when none is asked for."""
    return transport.default_codec


def _choice(environ: Mapping[str, str], variable: str, kind: type[_KindT]) -> _KindT | None:
    text = environ.get(variable, "")
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        expected = "one of " + ", ".join(kind)
        raise refusal(variable, "the environment", text, expected) from None


def _from_file(file: Path, settings: Collection[Setting]) -> Iterator[tuple[str, Given]]:
    source = f"file {file}"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise SettingError(f"configuration file {file} cannot be read: {exc}") from exc
    except RecursionError:  # tomllib says no more than that
        raise SettingError(f"configuration file {file} cannot be read: nested too deep") from None
    ids = {setting.name: setting.id for setting in settings}
    tables = {name.partition(".")[0] for name in ids if "." in name}
    for key, value in content.items():
        if key in tables and not isinstance(value, dict):
            raise refusal(key, source, value, f"a table [{key}]")
        inside = {f"{key}.{part}": item for part, item in value.items()} if key in tables else None
        for name, item in (inside if inside is not None else {key: value}).items():
            if name not in ids:
                raise _unknown(name, source, ids)
            yield ids[name], Given(value=item, source=source, is_text=False)


def _from_environ(
    environ: Mapping[str, str], settings: Mapping[str, Setting]
) -> Iterator[tuple[str, Given]]:
    for variable, value in environ.items():
        name = variable.removeprefix(_PREFIX)
        if name in {variable, *_OTHER_VARIABLES} or name.startswith(_SECRETS):
            continue
        if _SERVICE_LINK.fullmatch(f"{name}={value}"):
            continue
        if name.lower() not in settings or name != name.upper():
            raise _unknown(variable, "the environment", [_PREFIX + key.upper() for key in settings])
        yield name.lower(), Given(value=value, source=f"variable {variable}", is_text=True)


def _from_flags(
    flags: Mapping[str, object], settings: Mapping[str, Setting]
) -> Iterator[tuple[str, Given]]:
    for key, value in flags.items():
        if key not in settings:
            raise _unknown(key, "the flags", settings)
        if value is not None:
            source = "flag --" + key.replace("_", "-")
            yield key, Given(value=value, source=source, is_text=True)


def _unknown(name: str, source: str, known: Collection[str]) -> SettingError:
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    names = ", ".join(known)
    return SettingError(f"unknown setting {shown(name)} in {source}; {hint}known: {names}")


def _filled(group: Any, values: Mapping[str, object], prefix: str) -> Any:  # noqa: ANN401 - any group
    """Return `group` with the values whose names start with `prefix`, its groups likewise."""
    changes = {}
    for part in fields(group):
        old = getattr(group, part.name)
        if is_dataclass(old):
            changes[part.name] = _filled(old, values, f"{part.name}.")
        else:
            changes[part.name] = values.get(prefix + part.name, old)
    return replace(group, **changes)


def _check_together(loaded: DaemonSettings, given: Mapping[str, Given]) -> None:
    """Check what no setting can know alone."""
    addresses = [("listen", url, url) for url in loaded.listen]
    if loaded.events is not None:
        addresses.append(("events", loaded.events, loaded.events))
    if loaded.role == "broker":
        _check_broker(loaded, given)
        addresses = [
            (f"broker.{name}", url, url)
            for name, url in (
                ("publishers", loaded.broker.publishers),
                ("subscribers", loaded.broker.subscribers),
            )
        ]
    elif loaded.http is not None:
        addresses.append(("http", loaded.http, f"tcp://{loaded.http}"))
    if loaded.events is not None and loaded.listen[0].startswith("nats://"):
        expected = "nothing: a NATS listener publishes through the same server"
        raise refusal("events", _source("events", given), loaded.events, expected)
    for name, written, url in addresses:
        source = _source(name.replace(".", "_"), given)
        _check_address(name, source, written, url, is_open=loaded.insecure)
    try:
        check_store_url(loaded.store)
    except InvalidArgumentError as error:
        source = _source("store", given)
        raise SettingError(f"setting 'store' from {source}: {error}") from error
    lease = loaded.lease
    if lease.max_ttl_s < lease.min_ttl_s:
        expected = f"at least lease.min_ttl_s, {lease.min_ttl_s}"
        source = _source("lease_max_ttl_s", given)
        raise refusal("lease.max_ttl_s", source, lease.max_ttl_s, expected)


def _check_broker(loaded: DaemonSettings, given: Mapping[str, Given]) -> None:
    """Check what a broker alone has to know."""
    try:
        check_segment("namespace", loaded.broker.namespace)
    except InvalidArgumentError as error:
        source = _source("broker_namespace", given)
        raise SettingError(f"setting 'broker.namespace' from {source}: {error}") from error
    for name in ("publishers", "subscribers"):
        url = getattr(loaded.broker, name)
        if not url.startswith("zmq://") or "," in url:
            source = _source(f"broker_{name}", given)
            raise refusal(f"broker.{name}", source, url, "one zmq://host:port")


def _check_address(name: str, source: str, written: str, url: str, *, is_open: bool) -> None:
    try:
        addresses = parse_url(url)
        logins = [parse_nats_address(a).has_login for a in addresses if a.scheme == "nats"]
    except AddressError as exc:
        raise SettingError(f"setting {name!r} from {source}: {exc}") from exc
    known = _LISTENING if name != "events" else ("zmq", "memory")
    for address in addresses:
        if name != "http" and address.scheme not in known:
            raise refusal(name, source, written, f"a URL of one of {', '.join(known)}")
    if logins and all(logins):
        return  # NATS knows who is let in
    if not is_open and not all(address.is_loopback for address in addresses):
        expected = (
            "a loopback address: nothing is authenticated yet, whoever reaches the address can "
            "change the registry; to accept that, set 'insecure' (--insecure)"
        )
        raise refusal(name, source, written, expected)


def _source(key: str, given: Mapping[str, Given]) -> str:
    return given[key].source if key in given else "the default"
