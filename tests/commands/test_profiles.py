"""Certificate profiles from the settings to the certificate: registered, listed, renewed, and watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.program import State

HARDWARE = ("--set", "hardware_type=1.3.6.1.4.1.99999.1")
PUMP = """default_profile = "pump"
[profiles.pump]
subject = ["common_name={device_id}", "organization={attr.plant}"]
eku = ["clientAuth"]
validity_days = 90
key_types = ["ec-p384"]
"""


def certificate(state: State, device_id: str) -> x509.Certificate:
    state.run("export", device_id, "--format", "pem", "--out", state.path.parent / device_id, "--force")
    found = sorted((state.path.parent / device_id).rglob("*.crt"))
    return x509.load_pem_x509_certificate(next(path for path in found if path.name != "ca.crt").read_bytes())


def newest(state: State, device_id: str) -> dict[str, Any]:
    found: dict[str, Any] = state.json("show", device_id)["certificates"][0]
    return found


@pytest.fixture
def configured(state: State) -> State:
    (state.path / "iotonboard.toml").write_text(PUMP)
    state.run("config", "accept")
    return state


def test_a_device_gets_what_its_profile_says(state: State) -> None:
    state.run("register", "node-1", "--profile", "idevid", *HARDWARE)
    found = certificate(state, "node-1")
    assert found.not_valid_after_utc.year == 9999
    assert [(one.oid, one.value) for one in found.subject] == [(NameOID.SERIAL_NUMBER, "node-1")]
    assert newest(state, "node-1")["profile"] == "idevid"
    assert "profile idevid" in state.run("show", "node-1").stdout
    state.run("register", "press-1")
    assert newest(state, "press-1")["profile"] == "mqtt"
    state.run("revoke", "node-1")
    assert state.json("health", "--deep")["status"] == "ok"


def test_a_list_names_profiles_and_a_missing_attribute_is_a_bad_row(state: State, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "device_id,profile,hardware_type\na1,,\na2,wi-sun,1.3.6.1.4.1.99999.1\na3,wi-sun,\na4,nothing,\n"
    )
    answers = state.run("register", "--batch", tmp_path / "list.csv", "--json", expect=6).json_lines
    assert [one["status"] for one in answers] == ["created", "created", "failed", "failed"]
    assert "'hardware_type'" in answers[2]["error"]["message"]
    assert "wi-sun" in answers[3]["error"]["hint"]


def test_a_renewal_keeps_the_profile_as_it_was_unless_another_is_named(configured: State) -> None:
    configured.run("register", "pump-1", "--set", "plant=North")
    first = certificate(configured, "pump-1")
    path = configured.path / "iotonboard.toml"
    path.write_text(path.read_text().replace("{attr.plant}", "South").replace("90", "30"))
    configured.run("config", "accept")
    configured.run("renew", "pump-1")
    kept = certificate(configured, "pump-1")
    assert kept.subject == first.subject
    assert (kept.not_valid_after_utc - first.not_valid_after_utc).total_seconds() < 3600
    configured.run("renew", "pump-1", "--profile", "pump")
    assert (
        certificate(configured, "pump-1").subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "South"
    )
    configured.run("renew", "pump-1", "--profile", "mqtt")
    assert newest(configured, "pump-1")["profile"] == "mqtt"
    configured.run("register", "pump-1", "--if-exists", "reissue", "--profile", "azure")
    configured.run("register", "pump-1", "--if-exists", "reissue")
    assert newest(configured, "pump-1")["profile"] == "azure"


def test_a_renewal_keeps_a_profile_that_the_settings_have_no_more(configured: State) -> None:
    configured.run("register", "pump-1", "--set", "plant=North")
    (configured.path / "iotonboard.toml").write_text("")
    configured.run("config", "accept")
    configured.run("renew", "pump-1")
    assert newest(configured, "pump-1")["profile"] == "pump"
    assert "no profile 'pump'" in configured.run("renew", "pump-1", "--profile", "pump", expect=6).stderr


def test_a_device_that_is_there_gets_the_attributes_that_its_new_profile_needs(state: State) -> None:
    state.run("register", "node-1", "--set", "line=A3", "--name", "Node")
    told = state.run("renew", "node-1", "--profile", "idevid", expect=6).stderr
    assert "register --if-exists reissue" in told
    again = ("register", "node-1", "--if-exists", "reissue")
    state.run(*again, "--set", "line=B1")  # without a profile that asks for them they stay
    assert state.json("show", "node-1")["attributes"] == {"line": "A3"}
    state.run(*again, "--profile", "idevid", *HARDWARE)
    assert state.json("show", "node-1")["attributes"] == {"line": "A3", "hardware_type": "1.3.6.1.4.1.99999.1"}
    state.run("renew", "node-1")
    assert newest(state, "node-1")["profile"] == "idevid"
    assert '"hardware_type":"1.3.6.1.4.1.99999.1"' in state.run("audit", "show", "--all").stdout
    assert state.json("health", "--deep")["status"] == "ok"


def test_what_does_not_fit_a_profile_is_refused_before_a_passphrase_is_asked_for(configured: State) -> None:
    configured.run("register", "press-1", "--profile", "mqtt")
    before = configured.snapshot()
    for words, told in (
        (("register", "pump-1"), "'plant'"),
        (("register", "press-1", "--if-exists", "reissue", "--profile", "pump"), "'plant'"),
        (("register", "pump-1", "--profile", "opcua", "--set", "plant=Works"), "'servers'"),
        (("renew", "press-1", "--profile", "pump"), "'plant'"),
    ):
        assert told in configured.run(*words, env={"IOTONBOARD_PASSPHRASE_FILE": None}, expect=6).stderr
    assert configured.snapshot() == before


def test_the_life_that_a_profile_gives_is_held_against_the_ca_s(configured: State) -> None:
    configured.run("config", "set", "cert_validity_days", "36000")
    configured.run("register", "pump-1", "--set", "plant=Works")
    configured.run("renew", "pump-1")
    configured.run("register", "pump-1", "--if-exists", "reissue")
    assert "outlive its CA" in configured.run("register", "press-1", "--profile", "mqtt", expect=6).stderr


def test_days_are_refused_for_what_has_no_end(state: State) -> None:
    words = ("register", "node-1", "--profile", "idevid", *HARDWARE)
    nobody = {"IOTONBOARD_PASSPHRASE_FILE": None}
    assert "have no end" in state.run(*words, "--validity-days", "30", env=nobody, expect=6).stderr
    state.run(*words)
    assert "have no end" in state.run("renew", "node-1", "--validity-days", "30", env=nobody, expect=6).stderr


def test_the_default_profile_and_its_key_type(configured: State) -> None:
    configured.run("register", "pump-1", "--set", "plant=North")
    found = certificate(configured, "pump-1").public_key()
    assert isinstance(found, ec.EllipticCurvePublicKey)
    assert found.curve.name == "secp384r1"
    assert (
        "takes no rsa-2048"
        in configured.run("register", "pump-2", "--set", "plant=N", "--key-type", "rsa-2048", expect=6).stderr
    )
    told = configured.run("register", "pump-3", expect=6).stderr
    assert "'plant'" in told


def test_a_profile_that_is_not_safe_is_named_with_its_line_and_not_followed(configured: State) -> None:
    path = configured.path / "iotonboard.toml"
    path.write_text(PUMP.replace("clientAuth", "serverAuth"))
    told = configured.run("config", "accept", expect=6).stderr
    assert "line 4, of [profiles.pump] in line 2" in told
    assert "'pump'" in told
    configured.run("register", "pump-1", "--set", "plant=North")
    (usage,) = (
        one.value
        for one in certificate(configured, "pump-1").extensions
        if isinstance(one.value, x509.ExtendedKeyUsage)
    )
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize("words", [("default_profile", "nothing"), ("profiles", "x"), ("default_profile", "No!")])
def test_a_setting_names_a_profile_that_is_there(state: State, words: tuple[str, str]) -> None:
    before = state.snapshot()
    state.run("config", "set", *words, expect=6)
    assert state.snapshot() == before


def test_a_device_that_may_be_a_server_needs_a_ca_of_its_own(state: State) -> None:
    told = state.run("register", "pump-1", "--profile", "server", "--set", "host=pump.example", expect=6)
    assert "'servers'" in told.stderr


def test_a_request_s_own_extensions_never_reach_a_certificate(state: State, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName("broker.example"), x509.RFC822Name("root@plant.example")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    for extension in (
        x509.BasicConstraints(ca=True, path_length=None),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName(names),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"),
    ):
        builder = builder.add_extension(extension, critical=True)
    (tmp_path / "own.csr").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    state.run("register", "node-1", "--profile", "idevid", *HARDWARE, "--csr", tmp_path / "own.csr")
    found = x509.load_pem_x509_certificate((state.device("node-1") / "device.crt").read_bytes())
    oids = {one.oid.dotted_string for one in found.extensions}
    assert oids == {"2.5.29.19", "2.5.29.15", "2.5.29.14", "2.5.29.35", "2.5.29.17"}
    assert b"broker.example" not in found.tbs_certificate_bytes
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_profiles_are_listed_shown_and_tried_without_a_passphrase(configured: State) -> None:
    nobody = {"IOTONBOARD_PASSPHRASE_FILE": None}
    listed = configured.run("profile", "list", "--json", env=nobody).json_lines
    assert {"mqtt", "opcua", "server", "eap-tls", "idevid", "wi-sun", "azure", "aws", "matter-dac", "pump"} == {
        one["name"] for one in listed
    }
    assert [one["name"] for one in listed if one["default"]] == ["pump"]
    assert all(one["source"] for one in listed if one["name"] != "pump")
    assert "subject = [" in configured.run("profile", "show", "pump", env=nobody).stdout
    before = configured.snapshot()
    found = configured.json("profile", "check", "wi-sun", "--device", "node-1", *HARDWARE, env=nobody)["certificate"]
    assert found["subject"] == "(empty)"
    assert found["not after"] == "9999-12-31T23:59:59Z"
    assert (found["key"], found["CA"]) == ("ec-p256", "that of the brokers")
    configured.run("profile", "check", "wi-sun", env=nobody, expect=6)
    assert "no purpose" in configured.run("profile", "check", "idevid", *HARDWARE, env=nobody).stderr
    assert "no purpose" not in configured.run("profile", "check", "eap-tls", env=nobody).stderr
    server = configured.json("profile", "check", "server", "--set", "host=a.example", env=nobody)["certificate"]
    assert server["CA"] == "servers"
    configured.run("profile", "show", "nothing", env=nobody, expect=6)
    assert configured.snapshot() == before


def test_every_field_of_what_would_be_issued_is_shown(configured: State) -> None:
    path = configured.path / "iotonboard.toml"
    policies = '{ oid = "2.5.29.32", critical = true, hex = "300e300c060a2b0601040186fd320102" }'
    path.write_text(path.read_text() + f'extensions = [{policies}, {{ oid = "1.3.6.1.4.1.99999.3", utf8 = "A3" }}]\n')
    configured.run("config", "accept")
    configured.run("config", "set", "crl_url", "http://crl.plant.example/crl.der")
    found = configured.json("profile", "check", "pump", "--set", "plant=Works")["certificate"]
    assert found.pop("not after")
    assert found == {
        "CA": "that of the brokers",
        "key": "ec-p384",
        "subject": "O=Works,CN=device-1",
        "key usage (critical)": "digitalSignature",
        "extended key usage": "clientAuth",
        "CRL distribution points": "http://crl.plant.example/crl.der",
        "2.5.29.32 (critical)": "300e300c060a2b0601040186fd320102",
        "1.3.6.1.4.1.99999.3": "0c024133",
    }
    server = configured.json("profile", "check", "server", "--set", "host=a.example")["certificate"]
    assert "CRL distribution points" not in server  # the setting is of the other CA's lists


def test_what_was_kept_with_a_certificate_is_sealed(state: State) -> None:
    import sqlite3
    from contextlib import closing

    state.run("register", "node-1", "--profile", "idevid", *HARDWARE)
    with closing(sqlite3.connect(state.path / "devices.db")) as database, database:
        database.execute("UPDATE profile SET content = replace(content, 'idevid', 'matter')")
    assert state.json("health", "--deep", expect=9)["status"] == "failed"
