"""docs/reference/settings.md, written from discovery/settings.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery import settings
from discovery.setting import settings_in
from discovery.settings import DaemonSettings
from tests.docs.docstrings import attribute_docs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from discovery.setting import Setting

GROUPS = {
    "": settings.DaemonSettings,
    "lease": settings.LeaseSettings,
    "watch": settings.WatchSettings,
    "limits": settings.LimitSettings,
    "registry": settings.RegistrySettings,
    "broker": settings.BrokerSettings,
    "artifacts": settings.ArtifactSettings,
    "log": settings.LogSettings,
}

_INTRO = """# Settings of `discoveryd`

Made from the code by `python -m tests.docs`; do not edit. `config/discoveryd.toml` is a file with
all of them at their defaults.

A flag wins over a variable, that over the file, that over the default. The file is named by
`--config` or `DISCOVERY_CONFIG`; nothing is read from a fixed place. A setting `table.name` stands
in table `[table]` of the file. What is unknown or out of range stops the start. On SIGHUP all is
read again: `log.*` changes at once, the rest with the next start."""

_UNKNOWN = """Any other variable that begins with `DISCOVERY_` is taken for a misspelt setting and
stops the start, except those that Kubernetes makes for a Service of that name."""

OTHER_VARIABLES = {
    "DISCOVERY_CONFIG": "the file, unless `--config` says so",
    "DISCOVERY_URL": "where `discoveryctl` finds a daemon; programs say it to `connect`",
    "DISCOVERY_TENANT": "whose models `discoveryctl catalog` shows; programs say it to `connect`",
    "DISCOVERY_CREDENTIAL_<ALIAS>": "a secret, which requests name by its alias",
    "DISCOVERY_EVENT_PLANE": "what an `EventPublisher` uses unless it is told: `zmq`",
    "DISCOVERY_EVENT_PLANE_CODEC": "likewise, how it writes envelopes: `msgpack` or `json`",
    "DISCOVERY_EVENT_HOST": "likewise, the host or network interface that it advertises",
    "DISCOVERY_EVENT_NATS": "for publishers and subscribers of events, where the NATS servers are",
}


def settings_page() -> str:
    """The whole page."""
    by_group: dict[str, list[Setting]] = {group: [] for group in GROUPS}
    for setting in settings_in(DaemonSettings):
        by_group[setting.name.rpartition(".")[0]].append(setting)
    parts = [_INTRO]
    for group, members in by_group.items():
        kind = GROUPS[group]
        parts.append(f"## `[{group}]`" if group else "## Without a table")
        if group:
            parts.append(" ".join((kind.__doc__ or "").split()))
        texts = attribute_docs(kind)
        for setting in members:
            parts += _entry(setting, texts[setting.name.rpartition(".")[2]])
    rows = [f"| `{name}` | {meaning} |" for name, meaning in OTHER_VARIABLES.items()]
    parts += ["## Other variables", "\n".join(["| variable | what it is |", "|---|---|", *rows])]
    parts.append(_UNKNOWN)
    return "\n\n".join(parts) + "\n"


def _entry(setting: Setting, text: str) -> Iterator[str]:
    yield f"### `{setting.name}`"
    yield text
    flag = "--" + setting.id.replace("_", "-")
    variable = f"DISCOVERY_{setting.id.upper()}"
    yield (
        f"`{flag}` · `{variable}` · {_expected(setting)} · default {_default(setting)}"
        + (" · may be repeated; in the variable, separated by commas" if setting.is_list else "")
    )


def _expected(setting: Setting) -> str:
    if setting.none_words:
        words = ", or ".join(f"`{word}`" if word else "empty" for word in setting.none_words)
        return f"a text, or {words}"
    if setting.between is None:
        return setting.expected
    low, high = (f"{number:.15g}" for number in (setting.between.low, setting.between.high))
    return f"{'a whole number' if setting.kind is int else 'a number'} from {low} to {high}"


def _default(setting: Setting) -> str:
    value: object = DaemonSettings()
    for part in setting.name.split("."):
        value = getattr(value, part)
    match value:
        case None:
            return '`""`'
        case bool():
            return f"`{str(value).lower()}`"
        case tuple():
            return ", ".join(f"`{item}`" for item in value)
        case _:
            return f"`{value}`"
