"""Two stations below one root at one real broker, and what goes out of a station that has a root."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from iotonboard.pki import pem

from support.broker import BROKER_NAMES, Broker
from support.client import Credentials, connect_answer, connected, open_bundle, unpack
from support.foreign_root import Root
from support.program import State, make_state
from support.site import FILES, Site
from support.tools import need


def ders(content: bytes) -> list[bytes]:
    return pem.pem_blocks("CERTIFICATE", content)


def names(content: bytes) -> list[str]:
    loaded = map(x509.load_der_x509_certificate, ders(content))
    return [str(one.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value) for one in loaded]


def test_two_stations_of_one_root_at_one_broker(tmp_path: Path) -> None:
    root = Root(tmp_path / "root")
    (tmp_path / "a").mkdir()
    a = make_state(tmp_path / "a", "--common-name", "Station A")
    old = unpack(a.register("old")[0], tmp_path)
    a.run("broker", "issue", *BROKER_NAMES, "--plain-key")
    root.install(a)
    b = root.station(tmp_path / "b", "Station B")
    a1 = unpack(a.register("a-1")[0], tmp_path)
    b1, b2 = (unpack(one, tmp_path) for one in b.register("b-1", "b-2"))
    assert old.ca_cert.read_bytes() != a1.ca_cert.read_bytes() == b1.ca_cert.read_bytes() == root.crt.read_bytes()
    (tmp_path / "site").mkdir()
    site = Site(a, tmp_path / "site")
    site.ca = root.crt
    of_b = object.__new__(Site)
    of_b.__dict__ |= site.__dict__ | {"state": b}
    for one in (site, of_b):
        one.apply(one.pack(f"{one.state.path.parent.name}-1"))
    replace = {str(path): str(site.dest / name) for path, name in zip((a.crl, a.acl, a.ca_cert), FILES, strict=True)}
    broker = Broker(a, tmp_path / "broker", replace=replace)
    broker.start()
    try:
        _check_broker(broker, root, site, of_b, (old, a1, b1, b2))
    finally:
        broker.stop()


def _check_broker(
    broker: Broker,
    root: Root,
    site: Site,
    of_b: Site,
    devices: tuple[Credentials, Credentials, Credentials, Credentials],
) -> None:
    b1 = devices[2]

    def accepted() -> set[str]:
        answers = {one.device_id: connect_answer(broker, one) for one in devices}
        found = {name for name, answer in answers.items() if answer == "Success"}
        files = ("--acl", site.dest / "mosquitto.acl", "--crl", site.dest / "crl.pem", "--ca", site.dest / "ca.crt")
        certs = [word for one in devices for word in ("--cert", one.cert)]
        said = site.state.run("verify", *files, *certs, "--json", expect=None).json
        assert {one["device_id"] for one in said["devices"] if one["at_start"]["accepted"]} == found, said
        return found

    assert accepted() == {"old", "a-1", "b-1", "b-2"}
    with connected(broker, devices[1], b1) as [one, two]:  # each has its own topics, of its own station's ACL
        for client, name in ((one, "a-1"), (two, "b-1")):
            client.subscribe("#")
            client.publish("devices/a-1/x", f"by {name}")
            client.publish("devices/b-1/x", f"by {name}")
        assert (one.received(), two.received()) == ([("devices/a-1/x", "by a-1")], [("devices/b-1/x", "by b-1")])
    alone = b1.cert.parent / "alone.crt"
    alone.write_bytes(pem.pem_encode("CERTIFICATE", ders(b1.cert.read_bytes())[0]))
    without_chain = Credentials(b1.device_id, b1.ca_cert, alone, b1.key)
    assert connect_answer(broker, without_chain) == "Success", "the broker has the CAs itself"
    served = subprocess.run(
        [need("openssl"), "s_client", "-connect", f"127.0.0.1:{broker.port}", "-CAfile", root.crt,
         "-verify_return_error", "-verify_hostname", "localhost",
         "-cert", b1.cert, "-cert_chain", b1.cert, "-key", b1.key],
        input=b"", capture_output=True, check=False,
    )  # fmt: skip
    assert b"Verification: OK" in served.stdout, "whoever knows the root alone"
    of_b.state.run("revoke", "b-2")
    of_b.apply(of_b.pack("b-2"))
    broker.reload()
    assert accepted() == {"old", "a-1", "b-1"}
    station_b = ders(of_b.state.ca_cert.read_bytes())
    below_b = next(
        der for der, name in zip(station_b, names(of_b.state.ca_cert.read_bytes()), strict=True) if "B" in name
    )
    root.take_crl(site.state, root.crl(below_b))
    site.state.run("gen-crl")
    site.apply(site.pack("a-2"))
    broker.reload()
    assert accepted() == {"old", "a-1"}
    assert connect_answer(broker, without_chain) != "Success"


# -- what goes out -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> tuple[State, Root, Path]:
    """A station that had a device and a broker before it got its root, with its first CA file."""
    folder = tmp_path_factory.mktemp("station")
    state = make_state(folder, "--common-name", "Station A")
    state.register("old")
    state.run("broker", "issue", *BROKER_NAMES, "--plain-key")
    before = Path(shutil.copy(state.ca_cert, folder / "before.crt"))
    root = Root(folder / "root")
    root.install(state, days=900)
    return state, root, before


def test_every_publication_holds_its_part_of_the_chain(station: tuple[State, Root, Path], tmp_path: Path) -> None:
    state, root, before = station
    made = state.register("new", "--json")[0]
    assert names(state.ca_cert.read_bytes()) in (["Works Root", "Station A"], ["Station A", "Works Root"])
    assert before.read_bytes() not in state.ca_cert.read_bytes()
    lists = [x509.load_der_x509_crl(one) for one in pem.pem_blocks("X509 CRL", state.crl.read_bytes())]
    assert [one.issuer.rfc4514_string() for one in lists][1:] == ["CN=Works Root,O=Works"]
    files = open_bundle(Path(made["bundle"]), made["bundle_password"])
    assert names(files["device.crt"]) == ["new", "Station A"]
    assert ders(files["ca.crt"]) == [root.der]
    assert (
        json.loads(files["manifest.json"])["ca_fingerprint"]
        == x509.load_der_x509_certificate(root.der)
        .fingerprint(x509.load_der_x509_certificate(root.der).signature_hash_algorithm)
        .hex()
    )
    broker = state.certs / "brokers" / BROKER_NAMES[0] / "broker.crt"
    assert names(broker.read_bytes())[1:] == ["Station A"]
    assert ders(broker.read_bytes())[1] in ders(state.ca_cert.read_bytes())
    assert names((state.device("new") / "device.crt").read_bytes()) == ["new", "Station A"]
    assert names((state.device("old") / "device.crt").read_bytes()) == ["old"]
    state.run(
        "bundle",
        "open",
        made["bundle"],
        "--out",
        tmp_path / "opened",
        env={"IOTONBOARD_BUNDLE_PASSWORD": made["bundle_password"]},
    )
    assert state.run("health", "--deep", "--json", expect=None).json["differences"] == []


@pytest.mark.parametrize("device", ["old", "new-2"])
def test_every_export_holds_the_chain(station: tuple[State, Root, Path], tmp_path: Path, device: str) -> None:
    state, root, _ = station
    state.run("register", device, "--if-exists", "skip")
    for name in ("pem", "der", "json", "zephyr"):
        state.run("export", device, "--format", name, "--out", tmp_path / name)
    assert names((tmp_path / "pem" / "device.crt").read_bytes()) == [device, "Station A"]
    assert ders((tmp_path / "pem" / "ca.crt").read_bytes()) == [root.der]
    assert (tmp_path / "der" / "ca.der").read_bytes() == root.der
    issuer = x509.load_der_x509_certificate((tmp_path / "der" / "issuer1.der").read_bytes())
    assert issuer.issuer == x509.load_der_x509_certificate(root.der).subject
    values = json.loads((tmp_path / "json").read_text())
    assert names(values["chain"].encode()) == [device, "Station A"]
    assert ders(values["ca"].encode()) == [root.der]
    made = state.run("export", device, "--format", "p12", "--out", tmp_path / "p12", "--json").json
    store = pkcs12.load_pkcs12((tmp_path / "p12").read_bytes(), made["bundle_password"].encode())
    assert {one.certificate.public_bytes(Encoding.DER) for one in store.additional_certs} == {
        issuer.public_bytes(Encoding.DER), root.der
    }  # fmt: skip


def test_what_lasts_is_bounded_by_the_certificate_in_force(station: tuple[State, Root, Path]) -> None:
    state, _, _ = station
    for words in (("register", "long"), ("renew", "old"), ("broker", "issue", *BROKER_NAMES)):
        said = state.run(*words, "--validity-days", "1000", expect=6).stderr
        assert "899 whole days left" in said or "900 whole days left" in said
        assert "'iotonboard ca request --out FILE' for a longer one" in said
    state.run("register", "fits", "--validity-days", "890")
    due = {
        (one["kind"], one["name"].split()[0])
        for one in state.run("expiring", "--within", "950", "--json", expect=9).json_lines
    }
    assert ("crl", "CRL") in due
    shown = state.run("expiring", "--within", "950", expect=9)
    assert "Works Root" in shown.stdout
    assert "next: iotonboard ca request --out FILE" in shown.stderr
    assert "at the root: iotonboard gen-crl; then here: iotonboard ca install FILE" in shown.stderr
    page = json.loads(state.run("report", "--json").stdout)
    assert page["above"][0]["name"] == "Works Root"


def test_a_broker_that_lacks_its_ca_is_named(station: tuple[State, Root, Path], tmp_path: Path) -> None:
    state, _, _ = station
    folder = state.certs / "brokers" / BROKER_NAMES[0]
    conf = (folder / "mosquitto.conf").read_text()
    alone = tmp_path / "broker.crt"
    alone.write_bytes(pem.pem_encode("CERTIFICATE", ders((folder / "broker.crt").read_bytes())[0]))
    (tmp_path / "mosquitto.conf").write_text(conf.replace(str(folder / "broker.crt"), str(alone)))
    whole = state.run("verify", "--conf", folder / "mosquitto.conf", "--json", expect=None).json
    said = state.run("verify", "--conf", tmp_path / "mosquitto.conf", "--json", expect=9).json
    codes = [{one["code"] for one in found["problems"]} for found in (whole, said)]
    assert codes[1] - codes[0] == {"certificate-chain"}
