"""The check of the CAs above ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from support.clock import fake_time
from support.foreign_root import Root
from support.program import State


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return Root(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def station(root: Root, tmp_path_factory: pytest.TempPathFactory) -> State:
    return root.station(tmp_path_factory.mktemp("station"), "Station A")


def check(state: State, day: str = "") -> dict[str, str]:
    env = fake_time(day) if day else {}
    (found,) = state.run("health", "--check", "root", "--json", env=env, expect=None).json["checks"]
    return found


def test_a_ca_that_signs_itself_has_none_above(pristine: State) -> None:
    assert check(pristine)["message"] == "no CA stands above ours"


@pytest.mark.parametrize(
    ("day", "status", "words"),
    [
        ("", "ok", "'Works Root' has"),
        ("+300d", "warning", "our copy of the list of 'Works Root' ends on"),
        ("+400d", "warning", "our copy of the list of 'Works Root' ended on"),
        ("+2990d", "warning", "which is above our CA, has "),
        ("+3010d", "failed", "every device is refused"),
    ],
)
def test_what_ends_is_told_in_time(station: State, day: str, status: str, words: str) -> None:
    found = check(station, day)
    assert (found["status"], words in found["message"]) == (status, True), found


def test_a_ca_that_its_root_revoked_is_told(root: Root, tmp_path: Path) -> None:
    state = root.station(tmp_path / "b", "Station B")
    loaded = x509.load_pem_x509_certificates(state.ca_cert.read_bytes())
    own = next(one for one in loaded if "Station B" in one.subject.rfc4514_string()).public_bytes(Encoding.DER)
    root.take_crl(state, root.crl(own))
    found = check(state)
    assert found["status"] == "failed"
    assert "revoked it" in found["message"]


def test_a_station_that_its_root_took_back_certifies_nothing(root: Root, tmp_path: Path) -> None:
    state = root.station(tmp_path / "c", "Station C")
    state.run("register", "press-1")
    loaded = x509.load_pem_x509_certificates(state.ca_cert.read_bytes())
    own = next(one for one in loaded if "Station C" in one.subject.rfc4514_string()).public_bytes(Encoding.DER)
    (tmp_path / "root.crl").write_bytes(root.crl(own))
    state.run("ca", "install", tmp_path / "root.crl")
    for words in (("register", "press-2"), ("renew", "press-1"), ("broker", "issue", "broker.example")):
        assert "took this CA back" in state.run(*words, expect=6).stderr
    state.run("revoke", "press-1")
