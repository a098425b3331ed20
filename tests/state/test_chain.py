"""A CA goes out with the chain that its own key signed, and with no other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from iotonboard.ca.authority import Authority, seal_audit, unlock
from iotonboard.ca.credentials import credential_of, current_certificate
from iotonboard.ca.passphrase import parse_passphrase_file
from iotonboard.model import Caller
from iotonboard.pki import pem
from iotonboard.pki.signatures import sign_statement
from iotonboard.state.chain import chain_in_force, has_planted_chain
from iotonboard.state.new_chain import record_chain
from iotonboard.state.state import State, open_state
from iotonboard.state.trust import ca_file
from iotonboard.store.issuers import current_issuers
from iotonboard.store.root_crls import RootCrl, root_crl, root_crls, set_root_crl

from support import program
from support.roots import certified, root_certificate

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)


@pytest.fixture
def made(tmp_path: Path) -> program.State:
    state = program.make_state(tmp_path)
    state.register("press-1")
    return state


@pytest.fixture
def state(made: program.State) -> Iterator[State]:
    with open_state(str(made.path), {}, Caller("test", "test", "test"), lambda: NOW) as opened:
        yield opened


@pytest.fixture
def opened(made: program.State, state: State) -> Authority:
    return unlock(state, parse_passphrase_file(made.passphrase_file.read_bytes()))


def install(state: State, opened: Authority, *chain: bytes) -> None:
    ca = opened.active
    with state.transaction() as now:
        record_chain(state.store, ca.row, chain, lambda octets: sign_statement(ca.issuer.signer, octets), now)
        state.record(now, "ca", detail={"chain": "test"})
        seal_audit(state, opened)


def test_a_ca_without_a_chain_goes_out_as_itself(state: State, opened: Authority) -> None:
    (row,) = current_issuers(state.store)
    assert chain_in_force(state.store, row) == opened.chain == opened.anchors == (row.der,)
    assert not has_planted_chain(state.store, row)


def test_a_ca_with_a_chain_issues_by_it_and_its_devices_trust_the_root(
    made: program.State, state: State, opened: Authority
) -> None:
    (row,) = current_issuers(state.store)
    below, root = certified(row.der, days=500), root_certificate()
    install(state, opened, below, root)
    again = unlock(state, parse_passphrase_file(made.passphrase_file.read_bytes()))
    assert again.chain == chain_in_force(state.store, row) == (below, root)
    assert again.anchors == (root,)
    assert again.active.issuer.certificate_der == below
    assert again.active.identity == row.fingerprint == opened.active.identity
    assert again.active.issuer.validity.not_after == x509.load_der_x509_certificate(below).not_valid_after_utc
    credential = credential_of(state, again, "press-1", current_certificate(state, "press-1"), None)
    assert credential.sent_chain_der == (credential.certificate_der, below)
    assert credential.anchor_ders == (root,)
    assert pem.pem_decode_all("CERTIFICATE", ca_file(state, [row])) == [root, below]
    made.run("gen-crl")
    assert pem.pem_decode_all("CERTIFICATE", (made.certs / "ca.crt").read_bytes()) == [root, below]
    assert made.run("ca", "status", "--json").json["ca_fingerprint"] == row.fingerprint
    made.run("audit", "verify")


@pytest.mark.parametrize("what", ["unsigned", "of another key", "shortened", "no certificates", "longer"])
def test_a_chain_that_the_ca_did_not_sign_goes_nowhere(
    made: program.State, state: State, opened: Authority, what: str
) -> None:
    (row,) = current_issuers(state.store)
    below, root = certified(row.der), root_certificate()
    if what == "of another key":
        install(state, opened, root, root)
    else:
        install(state, opened, below, root)
        edits = {
            "unsigned": "signature = x'00'",
            "shortened": f"certificates = x'{root.hex()}'",
            "no certificates": "certificates = x'30820400'",
            "longer": f"certificates = x'{(below + root + root).hex()}'",
        }
        with closing(sqlite3.connect(state.store.path)) as database, database:
            database.execute(f"UPDATE ca_chain SET {edits[what]}")  # noqa: S608 - this test's own words
    assert chain_in_force(state.store, row) == (row.der,)
    assert has_planted_chain(state.store, row)
    (found,) = made.run("health", "--check", "root", "--json", expect=9).json["checks"]
    assert (found["status"], "did not sign" in found["message"]) == ("failed", True)
    assert pem.pem_decode_all("CERTIFICATE", ca_file(state, [row])) == [row.der]


def test_chains_that_cannot_be_read_hold_nothing_back(made: program.State, state: State) -> None:
    with closing(sqlite3.connect(state.store.path)) as database, database:
        database.execute("DROP TABLE ca_chain")
    made.run("revoke", "press-1")
    found = made.run("health", "--check", "schema", "--json", expect=9).json["checks"]
    assert "ca_chain" in str(found)


def test_a_chain_that_somebody_writes_is_found(made: program.State, state: State, opened: Authority) -> None:
    (row,) = current_issuers(state.store)
    install(state, opened, certified(row.der), root_certificate())
    made.run("gen-crl")
    with closing(sqlite3.connect(state.store.path)) as database, database:
        database.execute("UPDATE ca_chain SET installed_at = installed_at - 1")
    found = made.run("health", "--deep", "--json", expect=9).json["differences"]
    assert ("row", "ca") in {(one["kind"], one["subject"]) for one in found}


def test_the_newest_list_of_a_root_takes_the_place_of_the_one_before(state: State) -> None:
    lists = [RootCrl("ab" * 32, number, NOW, NOW + timedelta(days=1), b"list") for number in (1, 1 << 150)]
    with state.transaction():
        for one in lists:
            set_root_crl(state.store, one)
    assert root_crl(state.store, b"another root") is None
    assert [one.number for one in root_crls(state.store)] == [1 << 150]
