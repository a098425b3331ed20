"""Without OpenSSL: what is certain of the program's own files is judged as OpenSSL judges it, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from iotonboard.broker.handshake import Handshakes, TrustFiles, judge_handshakes
from iotonboard.broker.own_files import judge_own_files
from iotonboard.pki.pem import pem_decode_all

from support.foreign_root import Root
from support.program import State

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def _files(state: State) -> TrustFiles:
    return TrustFiles("ca.crt", "crl.pem", state.ca_cert.read_bytes(), state.crl.read_bytes())


def _clients(state: State) -> list[tuple[bytes, ...]]:
    folders = [Path(one["bundle"]).parent for one in state.register("good", "gone")]
    state.run("revoke", "gone")
    return [tuple(pem_decode_all("CERTIFICATE", (one / "device.crt").read_bytes())) for one in folders]


def _said(found: Handshakes) -> tuple[list[tuple[bool | None, str]], set[str], bool]:
    return [(one.accepted, one.cause) for one in found.verdicts], {one.code for one in found.problems}, found.has_list


@pytest.mark.parametrize("at", [NOW, NOW - 9 * DAY, NOW + 31 * DAY, NOW + 400 * DAY])
def test_the_programs_own_files_are_judged_as_openssl_does(state: State, at: datetime) -> None:
    clients = _clients(state)
    own = judge_own_files(_files(state), clients, at, "2.0", why_not="install openssl")
    assert _said(own) == _said(judge_handshakes(_files(state), clients, at, "2.0"))


def test_those_of_a_station_below_a_root_too(tmp_path: Path) -> None:
    """The root's list is asked about no device, and may have ended; without the root nothing is certain."""
    root = Root(tmp_path / "root")
    state = root.station(tmp_path / "a", "Station A")
    root.take_crl(state, root.crl(days=1))
    clients = _clients(state)
    for at in (NOW, NOW + 3 * DAY, NOW + 31 * DAY, NOW + 400 * DAY):
        own = judge_own_files(_files(state), clients, at, "2.0", why_not="install openssl")
        assert _said(own) == _said(judge_handshakes(_files(state), clients, at, "2.0")), at
    ca, end = state.ca_cert.read_bytes().replace(root.crt.read_bytes(), b""), b"-----END X509 CRL-----\n"
    crl = state.crl.read_bytes().partition(end)[0] + end
    found = judge_own_files(TrustFiles("ca.crt", "crl.pem", ca, crl), clients, NOW, "2.0", why_not="install openssl")
    assert [one.accepted for one in found.verdicts] == [None, None]


@pytest.mark.parametrize(
    "change",
    [
        lambda ca, crl: (ca + b"\n", crl),
        lambda ca, crl: (ca, crl.replace(b"\n", b"\r\n")),
        lambda ca, crl: (ca, crl + ca),
        lambda ca, crl: (b"", crl),
    ],
)
def test_other_files_are_not_judged_and_that_is_a_warning(
    state: State, change: Callable[[bytes, bytes], tuple[bytes, bytes]]
) -> None:
    clients = _clients(state)
    ca, crl = change(state.ca_cert.read_bytes(), state.crl.read_bytes())
    found = judge_own_files(TrustFiles("ca.crt", "crl.pem", ca, crl), clients, NOW, "2.0", why_not="install openssl")
    assert [(one.accepted, one.reason) for one in found.verdicts] == [(None, "not judged here: install openssl")] * 2
    assert [(one.code, one.warning) for one in found.problems] == [("not-judged", True)]


def test_a_file_without_any_list_is_certain(state: State) -> None:
    files = TrustFiles("ca.crt", "crl.pem", state.ca_cert.read_bytes(), b"not a list\n")
    found = judge_own_files(files, [], NOW, "2.0", why_not="install openssl")
    assert [one.code for one in found.problems if not one.warning] == ["crl-unreadable"]
