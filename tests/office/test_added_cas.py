"""Devices of a CA that was added to a station: the office knows them, and no broker hears of them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from cryptography import x509
from iotonboard.pki.pem import pem_blocks

from support.offices import Office, trust
from support.program import make_state


def _fingerprint(path: Path) -> str:
    return sha256(pem_blocks("CERTIFICATE", path.read_bytes())[0]).hexdigest()


def test_their_journal_is_one_of_its_own_and_nothing_of_it_goes_to_brokers(office: Office, tmp_path: Path) -> None:
    station = make_state(tmp_path)
    station.register("press-1", "press-2")
    station.run("ca", "add", "servers")
    station.run("register", "press-2", "cell-1", "--profile", "server", "--set", "host=cell-1.plant.example")
    servers = station.certs / "cas" / "servers" / "ca.crt"
    trust(office, station, "line-1")
    office.run("station", "trust", "line-1-servers", servers, "--fingerprint", _fingerprint(servers))
    station.run("journal", "--out", tmp_path / "own.journal")
    station.run("journal", "--out", tmp_path / "servers.journal", "--ca", "servers")
    taken = office.run("station", "take", tmp_path / "own.journal", tmp_path / "servers.journal")
    assert "lives at" not in taken.stderr  # brokers know the one of them alone
    assert {(one["station"], one["device_id"]) for one in office.run("list", "--json").json_lines} == {
        ("line-1", "press-1"),
        ("line-1", "press-2"),
        ("line-1-servers", "press-2"),
        ("line-1-servers", "cell-1"),
    }
    office.run("gen-crl")
    office.run("sync-acl")
    certs = office.path / "certs"
    subjects = [one.subject for one in x509.load_pem_x509_certificates((certs / "ca.crt").read_bytes())]
    own = x509.load_pem_x509_certificate(station.ca_cert.read_bytes())
    assert subjects == [own.subject]
    assert (certs / "crl.pem").read_bytes().count(b"BEGIN") == 1
    assert "cell-1" not in (office.path / "mosquitto.acl").read_text()
    office.run("revoke", "press-2", "--station", "line-1-servers", expect=8)
    assert "deny" not in (office.path / "mosquitto.acl").read_text()
    office.run("order", "write", "--out", tmp_path)
    servers_crl = x509.load_pem_x509_crl((servers.parent / "crl.pem").read_bytes())
    station.run("order", "trust", office.certificate, "--fingerprint", _fingerprint(office.certificate))
    station.run("order", "take", tmp_path, "--ca", "servers")
    newer = x509.load_pem_x509_crl((servers.parent / "crl.pem").read_bytes())
    assert (len(servers_crl), len(newer)) == (0, 1)
    station.run("journal", "--out", tmp_path / "again.journal", "--ca", "servers")
    assert "1 revocation" in office.run("station", "take", tmp_path / "again.journal").stdout
