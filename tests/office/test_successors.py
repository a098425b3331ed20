"""Which CAs an office believes: the one that was compared, and each that one before vouched for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from iotonboard.ca.ca_key import load_ca_key
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.exchange.journal import sign_head, split_head
from iotonboard.pki.key_id import key_id
from iotonboard.pki.pem import pem_blocks

from support.offices import Office, journal, make_office, trust
from support.program import State, make_state
from support.stations import make_station, make_works


@pytest.fixture
def plain(tmp_path: Path) -> Office:
    return make_office(tmp_path / "hq")


def believed(office: Office) -> list[str]:
    return list(office.json("station", "show", "line7")["believed"])


def test_the_ca_that_follows_one_is_believed_by_its_word(plain: Office, tmp_path: Path) -> None:
    state = make_state(tmp_path)
    trust(plain, state, "line7")
    (first,) = believed(plain)
    row = journal(state, tmp_path / "1.journal")
    plain.run("station", "take", tmp_path / "1.journal")
    state.run("ca", "rollover", "begin")
    state.register("press-7")
    row = journal(state, tmp_path / "2.journal", row)
    plain.run("station", "take", tmp_path / "2.journal")
    assert believed(plain)[0] == first
    assert len(believed(plain)) == 2
    state.run("ca", "rollover", "--retire")
    journal(state, tmp_path / "3.journal", row)
    plain.run("station", "take", tmp_path / "3.journal")
    (second,) = believed(plain)
    assert second != first


@pytest.mark.parametrize("words", [("rollover", "begin"), ("replace", "--compromised")])
def test_a_journal_tells_of_several_successions(plain: Office, tmp_path: Path, words: tuple[str, ...]) -> None:
    """An office that trusts the first CA of a station takes what the third one signs."""
    state = make_state(tmp_path)
    trust(plain, state, "line7")
    row = journal(state, tmp_path / "1.journal")
    plain.run("station", "take", tmp_path / "1.journal")
    for _ in range(2):
        state.run("ca", *words)
        if words[0] == "rollover":
            state.run("ca", "rollover", "--retire")
    journal(state, tmp_path / "2.journal", row)
    assert plain.json("station", "take", tmp_path / "2.journal")["status"] == "taken"
    assert len(believed(plain)) == 1


def test_a_ca_that_nobody_vouched_for_is_not_believed(
    plain: Office, station: State, other_station: State, tmp_path: Path
) -> None:
    """Somebody who has a journal, and a CA of their own, signs it anew."""
    trust(plain, station, "line7")
    path = tmp_path / "1.journal"
    journal(station, path)
    octets = path.read_bytes()
    found = split_head(octets)
    assert found is not None
    signed, begins = found
    key = load_ca_key(
        (other_station.certs / "ca.key").read_bytes(), parse_passphrase_file(other_station.passphrase_file.read_bytes())
    )
    (certificate,) = pem_blocks("CERTIFICATE", other_station.ca_cert.read_bytes())
    for certificates in ([certificate], [certificate, *signed.certificates], [*signed.certificates, certificate]):
        for head in (signed.read(), replace(signed.read(), key=key_id(certificate))):
            forged = sign_head(head, key.signer, certificates)
            path.write_bytes(forged.lines() + octets[begins:])
            told = plain.run("station", "take", path, expect=6).stderr
            assert "nobody here trusts the CA" in told or "the signature does not hold" in told


def test_a_station_below_a_root_stays_the_station_that_it_was(plain: Office, tmp_path: Path) -> None:
    works = make_works(tmp_path)
    state = make_station(tmp_path / "line7", "Line 7", "--validity-days", "3000")
    trust(plain, state, "line7")
    row = journal(state, tmp_path / "1.journal")
    works.certify(state)
    state.register("press-1")
    journal(state, tmp_path / "2.journal", row)
    for number in (1, 2):
        assert plain.json("station", "take", tmp_path / f"{number}.journal")["status"] == "taken"
    shutil.rmtree(plain.path)
    said = "station", "trust", "line7", state.ca_cert, "--fingerprint", works.fingerprint
    plain.run("init-office")
    assert "a CA above the station's own" in plain.run(*said, expect=6).stderr
    trust(plain, state, "line7")
    journal(state, tmp_path / "full.journal")
    assert plain.json("station", "take", tmp_path / "full.journal")["status"] == "taken"
