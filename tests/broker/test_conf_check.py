"""What a mosquitto.conf enforces, listener by listener."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from iotonboard.broker.check import BrokerFiles
from iotonboard.broker.conf import render_conf
from iotonboard.broker.conf_check import ConfVerdict, judge_conf
from iotonboard.broker.conf_files import judge_broker_conf
from iotonboard.broker.conf_reader import read_conf

GOOD = render_conf(
    host="broker.example",
    ca_path="/etc/mosquitto/ca.crt",
    cert_path="/etc/mosquitto/broker.crt",
    key_path="/etc/mosquitto/broker.key",
    crl_path="/etc/mosquitto/crl.pem",
    acl_path="/etc/mosquitto/mosquitto.acl",
)
ACL = "/etc/mosquitto/mosquitto.acl"


@pytest.fixture
def judged(tmp_path: Path):
    def judge(text: str, version: str = "2.0") -> ConfVerdict:
        path = tmp_path / "mosquitto.conf"
        path.write_text(text.replace("CONF.D", str(tmp_path / "conf.d")))
        return judge_conf(read_conf(str(path), version=version), version)

    return judge


def enforced(found: ConfVerdict) -> list[tuple[str, str]]:
    return [
        (
            one.port,
            "".join(
                letter
                for letter, is_so in (
                    ("C", one.enforces_certificate),
                    ("R", one.enforces_crl),
                    ("A", one.enforces_acl),
                )
                if is_so
            ),
        )
        for one in found.listeners
    ]


def test_what_is_written_enforces_everything(judged) -> None:
    found = judged(GOOD)
    assert (enforced(found), found.problems) == ([("8883", "CRA")], ())


@pytest.mark.parametrize(
    ("old", "new", "option", "left"),
    [
        ("require_certificate true\n", "", "require_certificate", "A"),
        ("require_certificate true", "require_certificate false", "require_certificate", "A"),
        ("require_certificate true", "require_certificate 0", "require_certificate", "A"),
        ("require_certificate true", "# require_certificate true", "require_certificate", "A"),
        ("use_identity_as_username true\n", "", "use_identity_as_username", "A"),
        ("use_username_as_clientid true\n", "", "use_username_as_clientid", "A"),
        ("use_identity_as_username true", "use_subject_as_username true", "use_subject_as_username", "A"),
        ("crlfile /etc/mosquitto/crl.pem\n", "", "crlfile", "CA"),
        ("cafile /etc/mosquitto/ca.crt\n", "", "cafile", "A"),
        ("certfile", "#certfile", "certfile", "A"),
        ("keyfile", "#keyfile", "keyfile", "A"),
        ("acl_file /etc/mosquitto/mosquitto.acl\n", "", "acl_file", "CR"),
        ("allow_anonymous false", "allow_anonymous true", "allow_anonymous", "A"),
        ("tls_version tlsv1.2", "tls_version tlsv1.1", "tls_version", "CRA"),
        ("per_listener_settings false", "per_listener_settings true", "acl_file", "CR"),
        ("listener 8883\n", "listener 8883\nprotocol websockets\n", "protocol", "CA"),
        ("listener 8883\n", "listener 8883\nmount_point hall-1/\n", "mount_point", "CR"),
        ("acl_file /etc", "plugin /usr/lib/dynsec.so\nacl_file /etc", "plugin", "CR"),
    ],
)
def test_what_a_listener_does_not_enforce_is_named(judged, old: str, new: str, option: str, left: str) -> None:
    assert old in GOOD
    found = judged(GOOD.replace(old, new))
    assert enforced(found) == [("8883", left)]
    assert [one.message for one in found.problems if f"listener 8883: {option}:" in one.message]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("require_certificate true", "require_certificate   1   # asked for"),
        ("listener 8883\n", "   listener 8883 # all addresses\n"),
        ("cafile /etc", "cafile    /etc"),
    ],
)
def test_blanks_comments_and_numbers_are_read_as_the_broker_reads_them(judged, old: str, new: str) -> None:
    found = judged(GOOD.replace(old, new))
    assert (enforced(found), found.problems) == ([("8883", "CRA")], ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("listener 8883\n", "listener\t8883\n"),
        ("require_certificate true", "require_certificate yes"),
        ("require_certificate true", "require_certificates true"),
        ("cafile /etc/mosquitto/ca.crt\n", "cafile /etc/mosquitto/ca.crt\ncafile /other\n"),
        ("listener 8883\n", "listener mqtts\n"),
        ("per_listener_settings false\nallow_anonymous false", "allow_anonymous false\nper_listener_settings true"),
        ("persistence false", "include_dir /nowhere"),
    ],
)
def test_what_keeps_the_broker_from_starting_is_named(judged, old: str, new: str) -> None:
    assert old in GOOD
    assert [one for one in judged(GOOD.replace(old, new)).problems if one.at_start == "the broker does not start"]


@pytest.mark.parametrize("more", ["listener 1883\n", "port 1883\n", "bind_address 10.0.0.1\n"])
def test_a_second_listener_makes_everything_else_pointless(judged, more: str) -> None:
    found = judged(GOOD.replace("listener 8883\n", f"{more}listener 8883\n"))
    assert sorted(enforced(found)) == [("1883", "A"), ("8883", "CRA")]
    assert any("clients without a certificate get in" in one.message for one in found.problems)


def test_a_bind_address_behind_the_listeners_opens_the_default_one(judged) -> None:
    assert enforced(judged(GOOD + "bind_address 127.0.0.1\n")) == [("8883", "CRA"), ("1883", "A")]


def test_the_files_of_include_dir_count_in_their_order(judged, tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    text = GOOD.replace("persistence false", "include_dir CONF.D")
    assert enforced(judged(text)) == [("8883", "CRA")]
    (folder / "b.conf").write_text("listener 1883\n")
    (folder / "a.conf").write_text("allow_anonymous 1\n")
    (folder / "ignored.txt").write_text("nonsense\n")
    found = judged(text)
    assert sorted(enforced(found)) == [("1883", "A"), ("8883", "A")]
    assert any(one.path == str(folder / "a.conf") for one in found.problems)


def test_per_listener_settings_belong_to_the_listener_above(judged) -> None:
    text = GOOD.replace(
        "per_listener_settings false\nallow_anonymous false\nacl_file /etc/mosquitto/mosquitto.acl\n", ""
    )
    text = "per_listener_settings true\n" + text
    assert enforced(judged(text)) == [("8883", "CR")]
    assert enforced(judged(text + f"acl_file {ACL}\n")) == [("8883", "CRA")]
    assert enforced(judged(text + f"acl_file {ACL}\nallow_anonymous true\n")) == [("8883", "A")]


def test_other_files_than_the_published_ones_are_named(tmp_path: Path) -> None:
    names = {"acl": "mosquitto.acl", "crl": "crl.pem", "ca": "ca.crt"}
    published = {what: str(tmp_path / name) for what, name in names.items()}
    paths = {f"{what}_path": str(tmp_path / "copy" / name) for what, name in names.items()}
    (tmp_path / "copy").mkdir()
    for what, name in names.items():
        Path(published[what]).write_text(what)
        (tmp_path / "copy" / name).write_text("older" if what == "crl" else what)
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(render_conf(host="b", cert_path="/no/crt", key_path="/no/key", **paths))
    found = judge_broker_conf(str(conf), published, BrokerFiles("", "", "", datetime.now(UTC)))
    assert [(one.code, one.warning) for one in found.problems[:3]] == [
        ("conf-other-file", True),
        ("conf-other-file", False),
        ("conf-other-file", True),
    ]
    assert [one.code for one in found.problems[3:]] == ["certificate-unreadable", "key-unreadable"]


def test_the_options_of_2_1(judged) -> None:
    text = GOOD.replace("per_listener_settings false\n", "")
    plugin = text.replace("acl_file /", "global_plugin /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file /")
    found = judged(plugin, "2.1")
    assert (enforced(found), found.problems) == ([("8883", "CRA")], ())
    assert enforced(judged(text + "disable_client_cert_date_checks true\n", "2.1")) == [("8883", "A")]
    assert enforced(judged(text + "listener_allow_anonymous true\n", "2.1")) == [("8883", "A")]
    top = f"allow_anonymous false\nacl_file {ACL}\n"
    moved = "per_listener_settings true\n" + text.replace(top, "") + top
    assert [one.warning for one in judged(moved, "2.1").problems] == [True]  # deprecated
    websockets = text.replace("listener 8883\n", "listener 8883\nprotocol websockets\n")
    assert enforced(judged(websockets, "2.1")) == [("8883", "CRA")]


def test_every_plugin_counts(judged) -> None:
    """One that reads the ACL file does not hide another one that decides too."""
    text = GOOD.replace("per_listener_settings false\n", "")
    acl = f"global_plugin /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file {ACL}\n"
    for other in ("plugin /usr/lib/dynsec.so\n", "global_plugin /usr/lib/dynsec.so\n"):
        for first in (acl + other, other + acl):
            found = judged(text.replace(f"acl_file {ACL}\n", first), "2.1")
            assert enforced(found) == [("8883", "CR")]
            assert any("plugin: decides about clients" in one.message for one in found.problems)
    named = f"plugin_load acl /usr/lib/mosquitto_acl_file.so\nplugin_opt_acl_file {ACL}\n" + text
    used = named.replace(f"\nacl_file {ACL}", "") + "plugin_use acl\n"
    assert enforced(judged(used, "2.1")) == [("8883", "CRA")]
    assert [one.at_start for one in judged(used).problems if one.code == "conf-unknown-option"]


def test_an_option_of_2_1_keeps_2_0_from_starting(judged) -> None:
    for line in ("global_plugin /usr/lib/a.so", "listener_allow_anonymous false", "disable_client_cert_date_checks 0"):
        (found,) = judged(GOOD + line + "\n").problems
        assert (found.code, found.at_start) == ("conf-unknown-option", "the broker does not start")
    (late,) = judged(GOOD + "retain_expiry_interval 5\n").problems
    assert (late.warning, late.at_start) == (True, "")


def test_a_listener_of_2_1_has_its_own_word_on_the_nameless(judged) -> None:
    text = GOOD.replace("per_listener_settings false\n", "").replace("allow_anonymous false", "allow_anonymous true")
    assert enforced(judged(text, "2.1")) == [("8883", "A")]
    assert enforced(judged(text + "listener_allow_anonymous false\n", "2.1")) == [("8883", "CRA")]


def test_a_comment_behind_a_word_is_none_of_it(judged) -> None:
    text = GOOD + "listener 8884\nprotocol websockets # for browsers\n" + GOOD.partition("listener 8883\n")[2]
    assert enforced(judged(text)) == [("8883", "CRA"), ("8884", "CA")]


def test_what_this_machine_does_not_have_is_told(tmp_path: Path) -> None:
    conf = tmp_path / "mosquitto.conf"
    text = GOOD.replace("cafile /etc/mosquitto/", "cafile ")
    conf.write_text(f"user nobody-here\npassword_file {tmp_path}/none\nplugin /no/such.so\n" + text)
    found = judge_broker_conf(str(conf), {}, BrokerFiles("", "", "", datetime.now(UTC)))
    told = [one.code for one in found.problems if one.warning]
    assert told == ["conf-relative-path", "conf-file-missing", "conf-file-missing", "conf-no-user"]
