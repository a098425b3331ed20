"""mosquitto.conf: what is written enforces everything, and the reader notices what does not."""

from __future__ import annotations

import pytest
from iotonboard.broker.conf import check_conf, render_conf
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
    assert check_conf(GOOD) == []
    assert check_conf(GOOD.encode()) == []


def test_optional_lines() -> None:
    text = render_conf(host="b", port=8884, bind_address="127.0.0.1", pid_path="/run/m.pid", **PATHS)
    assert "listener 8884 127.0.0.1" in options(text)
    assert "pid_file /run/m.pid" in options(text)
    assert check_conf(text) == []


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


@pytest.mark.parametrize(
    ("old", "new", "option"),
    [
        ("require_certificate true\n", "", "require_certificate"),
        ("require_certificate true", "require_certificate false", "require_certificate"),
        ("require_certificate true", "# require_certificate true", "require_certificate"),
        ("use_identity_as_username true\n", "", "use_identity_as_username"),
        ("use_username_as_clientid true\n", "", "use_username_as_clientid"),
        ("use_identity_as_username true", "use_subject_as_username true", "use_subject_as_username"),
        ("crlfile /etc/mosquitto/crl.pem\n", "", "crlfile"),
        ("cafile /etc/mosquitto/ca.crt\n", "", "cafile"),
        ("certfile", "#certfile", "certfile"),
        ("keyfile", "#keyfile", "keyfile"),
        ("acl_file /etc/mosquitto/mosquitto.acl\n", "", "acl_file"),
        ("allow_anonymous false", "allow_anonymous true", "allow_anonymous"),
        ("tls_version tlsv1.2", "tls_version tlsv1.1", "tls_version"),
        ("listener 8883\n", "listener 1883\n\nlistener 8883\n", "require_certificate"),
        ("listener 8883\n", "port 1883\nlistener 8883\n", "require_certificate"),
        ("listener 8883\n", "# listener 8883\n", "listener"),
        ("per_listener_settings false", "per_listener_settings true", "acl_file"),
        ("persistence false", "include_dir /etc/mosquitto/conf.d", "include_dir"),
    ],
)
def test_what_is_not_enforced_is_named(old: str, new: str, option: str) -> None:
    assert old in GOOD
    problems = check_conf(GOOD.replace(old, new))
    assert option in [problem.option for problem in problems]
    assert all(str(problem) for problem in problems)


def test_the_last_of_equal_options_counts_and_is_named_with_its_line() -> None:
    (problem,) = check_conf(GOOD + "allow_anonymous true\n")
    assert problem.line == GOOD.count("\n") + 1
    assert str(problem).startswith(f"line {problem.line}: allow_anonymous: ")


def test_per_listener_settings_are_read_per_listener() -> None:
    text = GOOD.replace("per_listener_settings false", "per_listener_settings true")
    assert check_conf(text + "acl_file /a\n") == []
    assert [problem.option for problem in check_conf(text + "acl_file /a\nallow_anonymous true\n")] == [
        "allow_anonymous"
    ]


def test_the_acl_plugin_of_2_1_is_an_acl() -> None:
    text = GOOD.replace("acl_file /", "plugin /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file /")
    assert check_conf(text) == []
