"""discovery.config: where settings come from, and what is refused."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import replace

import pytest

from discovery import config
from discovery.config import load_daemon_settings
from discovery.errors import SettingError
from discovery.eventtransport import EventCodecKind, EventTransportKind
from discovery.setting import settings_in
from discovery.settings import DaemonSettings, LeaseSettings, LogSettings

NAMES = [setting.name for setting in settings_in(DaemonSettings)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "discoveryd.toml"


def load(flags=(), environ=(), file=None):
    return load_daemon_settings(dict(flags), dict(environ), file)


def parsed(*argv):
    parser = ArgumentParser()
    config.add_flags(parser)
    return vars(parser.parse_args(argv))


def refused(flags=(), environ=(), file=None):
    """Return the message that the settings are refused with."""
    with pytest.raises(SettingError) as caught:
        load(flags, environ, file)
    return str(caught.value)


def test_without_any_source_everything_has_its_default():
    assert load() == DaemonSettings()


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(file):
    file.write_text("[lease]\nmin_ttl_s = 2\nmax_ttl_s = 20\nrecovery_s = 5\n")
    environ = {"DISCOVERY_LEASE_MAX_TTL_S": "30", "DISCOVERY_LEASE_RECOVERY_S": "6"}
    loaded = load({"lease_recovery_s": "7"}, environ, file)
    assert loaded.lease == LeaseSettings(min_ttl_s=2.0, max_ttl_s=30.0, recovery_s=7.0)


def test_every_kind_of_setting_can_be_read_from_a_file(file):
    file.write_text(
        'store = "memory://x"\nlisten = ["zmq://127.0.0.1:1", "zmq://[::1]:2"]\n'
        'http = "off"\ninsecure = true\nshutdown_s = 1\n[limits]\nmax_unit = 3\n'
        '[log]\nlevel = "debug"\n'
    )
    loaded = load(file=file)
    assert loaded.store == "memory://x"
    assert loaded.listen == ("zmq://127.0.0.1:1", "zmq://[::1]:2")
    assert loaded.http is None
    assert loaded.insecure is True
    assert (loaded.shutdown_s, type(loaded.shutdown_s)) == (1.0, float)
    assert loaded.limits.max_unit == 3
    assert loaded.log == LogSettings(level="debug")


def test_every_kind_of_setting_can_be_read_from_the_environment():
    loaded = load(
        environ={
            "DISCOVERY_STORE": "memory://x",
            "DISCOVERY_LISTEN": " zmq://127.0.0.1:1, zmq://127.0.0.1:2 zmq://127.0.0.1:3",
            "DISCOVERY_EVENTS": "zmq://127.0.0.1:9",
            "DISCOVERY_HTTP": "",
            "DISCOVERY_INSECURE": "True",
            "DISCOVERY_SHUTDOWN_S": "0.5",
            "DISCOVERY_WATCH_WINDOW_BEATS": "9",
            "DISCOVERY_REGISTRY_EVENT_GENERATION": "b",
        }
    )
    assert loaded.store == "memory://x"
    assert loaded.listen == ("zmq://127.0.0.1:1", "zmq://127.0.0.1:2", "zmq://127.0.0.1:3")
    assert loaded.events == "zmq://127.0.0.1:9"
    assert loaded.http is None
    assert loaded.insecure is True
    assert loaded.shutdown_s == 0.5
    assert loaded.watch.window_beats == 9
    assert loaded.registry.event_generation == "b"


def test_every_kind_of_setting_can_be_read_from_flags():
    flags = parsed(
        *("--listen", "zmq://127.0.0.1:1", "--listen", "zmq://127.0.0.1:2"),
        *("--insecure", "--http", "off", "--log-level", "error", "--limits-max-unit", "8"),
    )
    loaded = load(flags)
    assert loaded.listen == ("zmq://127.0.0.1:1", "zmq://127.0.0.1:2")
    assert (loaded.insecure, loaded.http) == (True, None)
    assert (loaded.log.level, loaded.limits.max_unit) == ("error", 8)


def test_a_flag_that_is_not_given_sets_nothing():
    flags = parsed()
    assert {key.replace("_", "") for key in flags} == {
        name.replace(".", "").replace("_", "") for name in NAMES
    }
    assert load(flags, {"DISCOVERY_INSECURE": "yes"}).insecure is True


def test_a_boolean_flag_can_be_turned_off():
    assert load(parsed("--insecure", "false"), {"DISCOVERY_INSECURE": "yes"}).insecure is False


def test_values_of_flags_may_be_converted_already():
    loaded = load({"insecure": True, "lease_recovery_s": 3, "listen": ("memory://a",)})
    assert loaded == replace(
        DaemonSettings(),
        insecure=True,
        listen=("memory://a",),
        lease=LeaseSettings(recovery_s=3.0),
    )


def test_the_file_is_the_one_named_by_the_variable_unless_one_is_given(file, tmp_path):
    file.write_text('store = "memory://flag"')
    other = tmp_path / "other.toml"
    other.write_text('store = "memory://variable"')
    environ = {"DISCOVERY_CONFIG": str(other)}
    assert load(environ=environ).store == "memory://variable"
    assert load(environ=environ, file=file).store == "memory://flag"
    assert load(environ={"DISCOVERY_CONFIG": ""}) == DaemonSettings()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("stor = 1", "stor"),
        ("[lease]\nrecover_s = 1", "lease.recover_s"),
        ("[leese]\nrecovery_s = 1", "leese"),
        ("lease_recovery_s = 1", "lease_recovery_s"),
        ("[lease.more]\nx = 1", "lease.more"),
        ("[store]\nurl = 1", "store"),
    ],
    ids=lambda value: value.replace("\n", " "),
)
def test_an_unknown_setting_in_the_file_is_named_with_its_source(file, content, name):
    file.write_text(content)
    message = refused(file=file)
    assert repr(name) in message
    assert f"file {file}" in message


def test_an_unknown_setting_is_told_what_was_meant_and_what_there_is(file):
    file.write_text("[lease]\nrecover_s = 1")
    message = refused(file=file)
    assert "did you mean 'lease.recovery_s'?" in message
    assert all(name in message for name in NAMES)


def test_an_unknown_variable_is_named_with_what_was_meant():
    message = refused(environ={"DISCOVERY_LEASE_RECOVER_S": "1"})
    assert "'DISCOVERY_LEASE_RECOVER_S' in the environment" in message
    assert "did you mean 'DISCOVERY_LEASE_RECOVERY_S'?" in message
    assert "'DISCOVERY_store' in the environment" in refused(environ={"DISCOVERY_store": "x"})


def test_an_unknown_flag_is_named():
    assert "'leese' in the flags" in refused({"leese": "1"})


def test_variables_of_others_are_left_alone():
    environ = {
        "DISCOVERY_URL": "zmq://127.0.0.1:4710",
        "DISCOVERY_TENANT": "acme",
        "DISCOVERY_EVENT_PLANE": "nats",
        "DISCOVERY_EVENT_PLANE_CODEC": "json",
        "DISCOVERYX": "1",
        "PATH": "/bin",
        "STORE": "x",
    }
    assert load(environ=environ) == DaemonSettings()


def test_variables_that_kubernetes_sets_for_a_service_named_discovery_are_left_alone():
    environ = {
        "DISCOVERY_SERVICE_HOST": "10.0.0.1",
        "DISCOVERY_SERVICE_PORT": "4710",
        "DISCOVERY_SERVICE_PORT_EVENTS": "4711",
        "DISCOVERY_PORT": "tcp://10.0.0.1:4710",
        "DISCOVERY_PORT_4710_TCP": "tcp://10.0.0.1:4710",
        "DISCOVERY_PORT_4710_TCP_ADDR": "10.0.0.1",
        "DISCOVERY_HEADLESS_SERVICE_HOST": "10.0.0.1",
        "DISCOVERY_HEADLESS_PORT": "tcp://10.0.0.1:4710",
    }
    assert load(environ=environ) == DaemonSettings()
    assert "DISCOVERY_HTTP_PORT" in refused(environ={"DISCOVERY_HTTP_PORT": "4712"})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("lease.recovery_s", "-1", "a number from 0.0 to 86400.0"),
        ("lease.recovery_s", "soon", "a number from 0.0 to 86400.0"),
        ("lease.recovery_s", "nan", "a number from"),
        ("lease.recovery_s", "inf", "a number from"),
        ("lease.recovery_s", "", "a number from"),
        ("watch.window_beats", "2.5", "a whole number from 2 to 100"),
        ("watch.window_beats", "101", "a whole number from 2 to 100"),
        ("insecure", "maybe", "true or false"),
        ("log.level", "loud", "one of debug, info, warning, error"),
        ("log.format", "", "one of auto, text, json"),
        ("registry.event_generation", "c", "one of a, b"),
        ("store", "", "a text that is not empty"),
        ("listen", "", "one or more URLs"),
        ("listen", ",", "one or more URLs"),
    ],
)
def test_a_wrong_value_is_refused_with_setting_source_value_and_what_is_allowed(
    name, text, expected
):
    key = name.replace(".", "_")
    variable, flag = f"DISCOVERY_{key.upper()}", "--" + key.replace("_", "-")
    for source, message in (
        (f"variable {variable}", refused(environ={variable: text})),
        (f"flag {flag}", refused({key: text})),
    ):
        assert message.startswith(f"setting {name!r} from {source}: got {text!r}, expected ")
        assert expected in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lease.recovery_s", '"5"'),
        ("lease.recovery_s", "true"),
        ("lease.recovery_s", "nan"),
        ("lease.recovery_s", "1" + "0" * 400),
        ("watch.window_beats", "5.0"),
        ("insecure", "1"),
        ("insecure", '"true"'),
        ("store", "1"),
        ("store", '["a"]'),
        ("listen", '"zmq://127.0.0.1:1"'),
        ("listen", "[]"),
        ("listen", "[1]"),
        ("listen", '[""]'),
        ("log.level", "3"),
        ("log.level", '["info"]'),
        ("http", "false"),
    ],
)
def test_a_value_of_the_wrong_type_in_the_file_is_refused(file, name, value):
    table, _, key = name.rpartition(".")
    file.write_text(f"[{table}]\n{key} = {value}" if table else f"{key} = {value}")
    message = refused(file=file)
    assert message.startswith(f"setting {name!r} from file {file}: got ")


def test_a_group_that_is_not_a_table_is_refused(file):
    file.write_text("lease = 5")
    assert "setting 'lease' from file" in refused(file=file)
    assert "expected a table [lease]" in refused(file=file)


@pytest.mark.parametrize(
    "content", [None, b"store = ", b"a = 1\na = 2", b'store = "\xff"'], ids=repr
)
def test_a_file_that_cannot_be_read_is_named(file, content):
    if content is not None:
        file.write_bytes(content)
    assert refused(file=file).startswith(f"configuration file {file} cannot be read: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "zmq://0.0.0.0:4710"),
        ("listen", "zmq://*:4710"),
        ("listen", "zmq://10.0.0.7:4710"),
        ("events", "zmq://[::]:4711"),
        ("http", "0.0.0.0:4712"),
    ],
)
def test_an_address_that_others_can_reach_needs_the_word_insecure(name, value):
    message = refused({name: value})
    assert message.startswith(f"setting {name!r} from flag --{name}: got {value!r}")
    assert "--insecure" in message
    assert load({name: value, "insecure": "true"}).insecure


@pytest.mark.parametrize(
    ("name", "value"), [("listen", "4710"), ("events", "zmq//x"), ("http", "4712")]
)
def test_an_address_that_is_none_is_refused(name, value):
    assert f"setting {name!r} from flag --{name}" in refused({name: value})


def test_the_longest_ttl_is_not_below_the_shortest():
    message = refused(environ={"DISCOVERY_LEASE_MAX_TTL_S": "0.5"})
    assert message.startswith("setting 'lease.max_ttl_s' from variable DISCOVERY_LEASE_MAX_TTL_S")
    assert "expected at least lease.min_ttl_s, 1.0" in message
    assert load({"lease_min_ttl_s": "5", "lease_max_ttl_s": "5"}).lease.max_ttl_s == 5.0


def test_the_transport_of_events_is_named_by_a_variable():
    read = config.event_transport_from_env
    assert read({}) is None
    assert read({"DISCOVERY_EVENT_PLANE": ""}) is None
    assert read({"DISCOVERY_EVENT_PLANE": "nats"}) is EventTransportKind.NATS
    assert read({"DISCOVERY_EVENT_PLANE": "zmq"}) is EventTransportKind.ZMQ
    with pytest.raises(SettingError, match=r"DISCOVERY_EVENT_PLANE.*'kafka'.*one of nats, zmq"):
        read({"DISCOVERY_EVENT_PLANE": "kafka"})


def test_the_codec_of_events_is_named_by_a_variable():
    read = config.event_codec_from_env
    assert read({}) is None
    assert read({"DISCOVERY_EVENT_PLANE_CODEC": ""}) is None
    assert read({"DISCOVERY_EVENT_PLANE_CODEC": "json"}) is EventCodecKind.JSON
    assert read({"DISCOVERY_EVENT_PLANE_CODEC": "msgpack"}) is EventCodecKind.MSGPACK
    with pytest.raises(SettingError, match=r"DISCOVERY_EVENT_PLANE_CODEC.*'xml'.*json, msgpack"):
        read({"DISCOVERY_EVENT_PLANE_CODEC": "xml"})


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", EventTransportKind.ZMQ),
        ("memory://name", EventTransportKind.ZMQ),
        ("file:///tmp/x", EventTransportKind.ZMQ),
        ("etcd://127.0.0.1:2379", EventTransportKind.NATS),
        ("kubernetes://ns", EventTransportKind.NATS),
    ],
)
def test_events_go_by_zmq_beside_a_local_store_and_by_nats_beside_others(url, kind):
    assert config.default_event_transport(url) is kind


def test_the_default_codec_is_json_on_nats_and_msgpack_on_zmq():
    assert config.default_codec(EventTransportKind.NATS) is EventCodecKind.JSON
    assert config.default_codec(EventTransportKind.ZMQ) is EventCodecKind.MSGPACK


def broker_flags(**flags: str) -> dict[str, object]:
    return {"role": "broker"} | {f"broker_{name}": value for name, value in flags.items()}


def test_a_broker_is_told_where_it_listens_and_who_finds_it():
    flags = broker_flags(publishers="zmq://127.0.0.1:1", namespace="prod")
    loaded = load_daemon_settings(flags, {"DISCOVERY_BROKER_ADVERTISE": "b1"}, None)
    assert loaded.role == "broker"
    assert loaded.broker.publishers == "zmq://127.0.0.1:1"
    assert (loaded.broker.namespace, loaded.broker.advertise) == ("prod", "b1")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"role": "relay"}, "setting 'role' from flag --role: got 'relay'"),
        (broker_flags(namespace="a/b"), "setting 'broker.namespace' from flag --broker-namespace"),
        (broker_flags(publishers="memory://x"), "setting 'broker.publishers' from .* one zmq://"),
        (broker_flags(subscribers="zmq://127.0.0.1:1,127.0.0.1:2"), "one zmq://host:port"),
        (broker_flags(subscribers="zmq://10.0.0.1:1"), "'broker.subscribers' .* loopback address"),
        (broker_flags(publishers="zmq://127.0.0.1"), "'broker.publishers' .* has no port"),
    ],
    ids=str,
)
def test_wrong_settings_of_a_broker_are_refused(flags, text):
    with pytest.raises(SettingError, match=text):
        load_daemon_settings(flags, {}, None)


def test_a_registry_does_not_look_at_a_brokers_settings():
    flags = {"broker_publishers": "zmq://10.0.0.1:1"}
    assert load_daemon_settings(flags, {}, None).role == "registry"
