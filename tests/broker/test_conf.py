"""The mosquitto.conf that is written."""

from __future__ import annotations

import pytest
from iotonboard.broker.conf import render_conf
from iotonboard.errors import PolicyError

PATHS = {
    "ca_path": "/etc/mosquitto/ca.crt",
    "cert_path": "/etc/mosquitto/broker.crt",
    "key_path": "/etc/mosquitto/broker.key",
    "crl_path": "/etc/mosquitto/crl.pem",
    "acl_path": "/etc/mosquitto/mosquitto.acl",
}
GOOD = render_conf(host="broker.example", **PATHS)


def options(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_configuration_has_every_line_that_matters() -> None:
    assert options(GOOD) == [
        "per_listener_settings false",
        "allow_anonymous false",
        "acl_file /etc/mosquitto/mosquitto.acl",
        "persistence false",
        "listener 8883",
        "cafile /etc/mosquitto/ca.crt",
        "certfile /etc/mosquitto/broker.crt",
        "keyfile /etc/mosquitto/broker.key",
        "crlfile /etc/mosquitto/crl.pem",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
    ]


def test_optional_lines() -> None:
    text = render_conf(host="b", port=8884, bind_address="127.0.0.1", pid_path="/run/m.pid", **PATHS)
    assert "listener 8884 127.0.0.1" in options(text)
    assert "pid_file /run/m.pid" in options(text)


def test_a_path_may_hold_spaces_and_braces() -> None:
    text = render_conf(host="b", **{**PATHS, "acl_path": "/a dir/{x}/acl"})
    assert "acl_file /a dir/{x}/acl" in options(text)


@pytest.mark.parametrize("value", ["", "a\nallow_anonymous true", "a\r", "a\0", " a", "a ", "a\x0bb", "a\u2028b"])
@pytest.mark.parametrize("name", [*PATHS, "host"])
def test_a_value_that_would_leave_its_line_is_refused(name: str, value: str) -> None:
    with pytest.raises(PolicyError) as caught:
        render_conf(**{"host": "b", **PATHS, name: value})
    assert caught.value.hint


@pytest.mark.parametrize("given", [{"port": 0}, {"port": 65536}, {"bind_address": "a b"}, {"pid_path": "a\nb"}])
def test_other_values_are_checked_too(given: dict) -> None:
    with pytest.raises(PolicyError):
        render_conf(host="b", **PATHS, **given)


def test_each_release_is_told_what_it_does_at_a_reload() -> None:
    old, new = (render_conf(host="b", version=version, **PATHS) for version in ("2.0", "2.1"))
    assert "fails open in Mosquitto 2.0" in old
    assert "fails open" not in new
    assert "ends at SIGHUP" in new
    assert "plugin_opt_acl_file" in new
    assert "plugin" not in old
