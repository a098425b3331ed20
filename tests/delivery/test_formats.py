"""Every export format: its bytes against golden files, its rules, its table line."""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import iotonboard.delivery.formats
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)
from hypothesis import given
from hypothesis import strategies as st
from iotonboard.delivery.bundle_reader import open_bundle
from iotonboard.delivery.credential import Credential
from iotonboard.delivery.formats.output import NvsImage, Options, OutputFile
from iotonboard.delivery.formats.table import FORMATS, encode, find_format
from iotonboard.errors import KeyUnavailableError, PolicyError, UsageError
from iotonboard.pki.der import oid

from support.credentials import VECTORS, make_credential

OPTIONS = Options(password="correct-horse", broker_host="broker.example", directory="/etc/iot device")
GOLDEN = VECTORS / "formats"
RANDOM = {"zip", "p12"}  # salted: compared by content below
DETERMINISTIC = sorted(FORMATS.keys() - RANDOM)


def encode_all(name: str, credential: Credential) -> dict[str, bytes]:
    return {file.name: file.data for file in encode(name, credential, OPTIONS)}


@pytest.mark.parametrize("variant", ["device", "no-key", "of-factory"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_matches_its_golden_files(name: str, variant: str) -> None:
    credential = make_credential(with_key=variant != "no-key", with_factory=variant == "of-factory")
    files = encode_all(name, credential)
    folder = GOLDEN / name / variant
    if os.environ.get("UPDATE_VECTORS"):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.rglob("*.*"):
            path.unlink()
        for file_name, data in files.items():
            (folder / file_name).parent.mkdir(parents=True, exist_ok=True)
            (folder / file_name).write_bytes(data)
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert {file_name: path.read_bytes() for file_name, path in found.items()} == files


def test_every_golden_file_has_its_format() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(DETERMINISTIC)


def test_zip_is_the_bundle() -> None:
    (file,) = encode("zip", make_credential(), OPTIONS)
    assert file.name == "sensor-0.1_A.zip"
    assert open_bundle(file.data, "correct-horse")["device.key"] == make_credential().key_pem


@pytest.mark.parametrize("with_factory", [False, True])
def test_p12_holds_key_certificate_and_issuers(with_factory: bool) -> None:
    credential = make_credential(with_factory=with_factory)
    (file,) = encode("p12", credential, OPTIONS)
    content = pkcs12.load_pkcs12(file.data, b"correct-horse")
    assert content.key is not None
    assert content.cert is not None
    assert content.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()) == credential.key_der
    assert content.cert.certificate.public_bytes(Encoding.DER) == credential.certificate_der
    assert content.cert.friendly_name == b"sensor-0.1_A"
    issuers = {issuer.certificate.public_bytes(Encoding.DER) for issuer in content.additional_certs}
    assert issuers == set(credential.chain)


def test_p12_holds_every_ca_that_the_device_trusts_and_each_once() -> None:
    root, factory = make_credential().chain[-1], make_credential(with_factory=True).chain[0]
    credential = dataclasses.replace(make_credential(), anchors=(root, factory))
    (file,) = encode("p12", credential, OPTIONS)
    content = pkcs12.load_pkcs12(file.data, b"correct-horse")
    names = [issuer.friendly_name for issuer in content.additional_certs]
    assert [name.split()[0] for name in names if name] == [b"CA", b"CA"]
    assert len(set(names)) == len(names) == 2


def test_p12_comes_in_a_form_for_old_readers() -> None:
    new, old = (encode("p12", make_credential(), dataclasses.replace(OPTIONS, legacy=legacy))[0] for legacy in (0, 1))
    three_des, sha1, pbes2 = (
        oid(each) for each in ("1.2.840.113549.1.12.1.3", "1.3.14.3.2.26", "1.2.840.113549.1.5.13")
    )
    assert (three_des in new.data, sha1 in new.data, pbes2 in new.data) == (False, False, True)
    assert (three_des in old.data, sha1 in old.data, pbes2 in old.data) == (True, True, False)
    for file in (new, old):
        assert pkcs12.load_pkcs12(file.data, b"correct-horse").key is not None
        with pytest.raises(ValueError, match="password"):
            pkcs12.load_pkcs12(file.data, b"correct-horsf")


def test_a_device_s_own_values_are_in_its_nvs_csv() -> None:
    attributes = (("line", "A3"), ("note", 'hall 2, "left" ü'), ("serial", "17"))
    credential = dataclasses.replace(make_credential(), attributes=attributes)
    (file,) = encode("esp-nvs", credential, OPTIONS)
    rows = list(csv.reader(io.StringIO(file.data.decode())))
    begin = rows.index(["attributes", "namespace", "", ""])
    assert rows[begin + 1 :] == [[name, "data", "string", value] for name, value in attributes]
    assert rows[:begin] == list(csv.reader(io.StringIO(encode("esp-nvs", make_credential(), OPTIONS)[0].data.decode())))

    def with_names(*names: str) -> str:
        options = dataclasses.replace(OPTIONS, nvs=NvsImage(attributes=names))
        return encode("esp-nvs", credential, options)[0].data.decode()

    assert with_names("line").endswith("attributes,namespace,,\nline,data,string,A3\n")
    assert "attributes" not in with_names()
    with pytest.raises(PolicyError, match="no attribute 'colour'"):
        with_names("colour")


@pytest.mark.parametrize("attribute", [("sixteen-letters-", "x"), ("note", "ü" * 2000)])
def test_what_nvs_cannot_hold_is_refused(attribute: tuple[str, str]) -> None:
    credential = dataclasses.replace(make_credential(), attributes=(("line", "A3"), attribute))
    with pytest.raises(PolicyError, match="does not fit into NVS") as raised:
        encode("esp-nvs", credential, dataclasses.replace(OPTIONS, nvs=NvsImage()))
    assert "--attributes" in raised.value.hint
    (file,) = encode("esp-nvs", credential, OPTIONS)  # while devices are registered, it stops nothing
    assert file.data.endswith(b"attributes,namespace,,\nline,data,string,A3\n")


@pytest.mark.parametrize(
    ("size", "keys"), [(0x1000, None), (0x3001, None), (0, None), (-4096, None), (1 << 40, None), (None, b"")]
)
def test_no_partition_of_a_size_that_there_is_not(size: int | None, keys: bytes | None) -> None:
    with pytest.raises(UsageError):
        NvsImage(size=size, keys=keys)


@pytest.mark.parametrize("password", ["pässword", "a\nb"])
@pytest.mark.parametrize("name", sorted(RANDOM))
def test_passwords_are_printable_ascii(name: str, password: str) -> None:
    with pytest.raises(PolicyError):
        encode(name, make_credential(), Options(password=password))


@pytest.mark.parametrize("name", FORMATS)
def test_the_table_line_tells_the_truth(name: str) -> None:
    line = FORMATS[name]
    with_key = encode(name, make_credential(), OPTIONS)
    key_der, key_pem = make_credential().key_der, make_credential().key_pem
    assert key_der is not None
    assert key_pem is not None

    assert line.single_file == (len(with_key) == 1)
    assert line.plain_key == any(file.secret for file in with_key)
    for file in with_key:
        assert holds_key(file, key_der, key_pem) == file.secret, file.name
        assert line.binary or file.data.decode("ascii")
    if line.needs_password:
        with pytest.raises(UsageError, match="needs a password"):
            encode(name, make_credential(), Options())
    else:
        encode(name, make_credential(), Options())
    if line.needs_key:
        with pytest.raises(KeyUnavailableError, match="keeps its own"):
            encode(name, make_credential(with_key=False), OPTIONS)
    else:
        assert not any(file.secret for file in encode(name, make_credential(with_key=False), OPTIONS))


def holds_key(file: OutputFile, key_der: bytes, key_pem: bytes) -> bool:
    """Look for the secret scalar in every notation that a format uses."""
    scalar = key_der[36:68]  # PKCS#8 of a P-256 key: RFC 5915 inside RFC 5958
    text = file.data.replace(b"\\n", b"\n").replace(b'"', b"").replace(b" ", b"").replace(b"\n", b"")
    notations = (
        scalar,
        key_pem.splitlines()[2],
        base64.b64encode(key_der)[:100],
        base64.b64encode(scalar),
        base64.b64encode(key_pem)[:100],
        ",".join(f"0x{octet:02x}" for octet in scalar).encode(),
    )
    return any(notation in file.data or notation in text for notation in notations)


def test_each_encoder_has_one_table_line() -> None:
    folder = Path(iotonboard.delivery.formats.__path__[0])
    shared = {"__init__", "table", "output", "c_array"}
    assert sorted(name.replace("-", "_") for name in FORMATS) == sorted({p.stem for p in folder.glob("*.py")} - shared)


def test_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as raised:
        find_format("pfx")
    assert all(name in raised.value.hint for name in FORMATS)


def test_nothing_shows_a_secret_by_accident() -> None:
    files = encode("pem", make_credential(), OPTIONS)
    shown = repr((make_credential(), OPTIONS, files))
    assert "correct-horse" not in shown
    assert "PRIVATE" not in shown
    assert "\\x" not in shown


@pytest.mark.parametrize(
    "change",
    [
        {"security_tag": -1},
        {"security_tag": 1 << 31},
        {"nvs_namespace": ""},
        {"nvs_namespace": "sixteen-letters-"},
        {"nvs_namespace": "a,b"},
        {"nvs_namespace": "attributes"},
        {"broker_host": "a b"},
        {"broker_host": "a\nport 1"},
        {"broker_port": 0},
        {"broker_port": 65536},
        {"directory": "a\nb"},
        {"directory": " a"},
    ],
)
def test_refuses_options_that_a_consumer_cannot_read(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        dataclasses.replace(OPTIONS, **change)


@pytest.mark.parametrize("whose", ["device", "anchor"])
@pytest.mark.parametrize("name", ["esp-nvs", "esp-secure-cert", "nrf", "zephyr"])
def test_small_tls_stacks_get_no_ed25519(name: str, whose: str) -> None:
    public = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    der = b"certificate with " + public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    change = {"certificate_der": der} if whose == "device" else {"chain": (der,)}
    with pytest.raises(PolicyError, match="Ed25519"):
        encode(name, dataclasses.replace(make_credential(), **change), OPTIONS)


def test_tasmota_takes_p256_keys_only() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(PolicyError, match="P-256"):
        encode("tasmota", dataclasses.replace(make_credential(), key_der=der), OPTIONS)


def test_a_credential_has_an_issuer() -> None:
    with pytest.raises(PolicyError):
        dataclasses.replace(make_credential(), chain=())


def test_long_pem_stays_within_the_literals_of_iso_c() -> None:
    credential = dataclasses.replace(make_credential(), chain=(bytes(4000),))
    (file,) = encode("c-header", credential, OPTIONS)
    assert b"iotonboard_ca_crt_pem[IOTONBOARD_CA_CRT_PEM_LEN] =\n{\n    0x2d, 0x2d" in file.data
    assert file.data.rstrip().endswith(b"0x0a, 0x00\n};\n\n#endif")


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_text_formats_load_no_cryptography(name: str) -> None:
    code = (
        "import sys; from support.credentials import make_credential;"
        "from iotonboard.delivery.formats.output import Options;"
        "from iotonboard.delivery.formats.table import encode;"
        f"encode({name!r}, make_credential(), Options());"
        "print([m for m in ('cryptography', 'pyzipper', 'rich', 'typer') if m in sys.modules])"
    )
    paths = os.pathsep.join([str(VECTORS.parent), str(Path(iotonboard.delivery.formats.__path__[0]).parents[1])])
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, check=True
    )
    assert result.stdout.strip() == b"[]"


_WINDOWS_NAMES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
_IDS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?", fullmatch=True).filter(
    lambda text: not _WINDOWS_NAMES.fullmatch(text)
)


@given(_IDS)
def test_any_device_id_is_safe_in_every_format(device_id: str) -> None:
    credential = make_credential(device_id=device_id)
    for name in DETERMINISTIC:
        for file in encode(name, credential, OPTIONS):
            assert re.fullmatch(r"(?:[a-z]+/)*[A-Za-z0-9][A-Za-z0-9._-]*", file.name), file.name
            assert set(re.findall(rb"[^\x20-\x7e\r\n]", file.data)) == set() or FORMATS[name].binary

    (header,) = encode("c-header", credential, OPTIONS)
    code = re.sub(rb'"[^"\n]*"|/\*.*?\*/', b"", header.data).decode()
    assert device_id not in code or len(device_id) < 8, "only in strings and comments"
    assert f'#define IOTONBOARD_DEVICE_ID "{device_id}"\n'.encode() in header.data
    assert header.data.count(b"*/") == header.data.count(b"/*") == 4

    (nvs,) = encode("esp-nvs", credential, OPTIONS)
    rows = list(csv.DictReader(io.StringIO(nvs.data.decode())))
    assert all(0 < len(row["key"]) <= 15 for row in rows)
    assert {row["key"]: row["value"] for row in rows}["device_id"] == device_id

    (text,) = encode("json", credential, OPTIONS)
    assert json.loads(text.data)["device_id"] == device_id

    at, onboarding = encode("nrf", credential, OPTIONS)
    assert next(csv.reader(io.StringIO(onboarding.data.decode())))[0] == device_id
    assert [command.count(b'"') for command in at.data.split(b"\r\n")] == [0, 2, 2, 2, 0]

    files = encode_all("mosquitto", credential)
    assert f"-i {device_id}\n".encode() in files["mosquitto_pub"]
    assert len(files["mosquitto_pub"].splitlines()) == 7
    assert files["bridge.conf"].count(device_id.encode()) >= 3


def test_bridge_carries_the_credentials_topics() -> None:
    credential = dataclasses.replace(
        make_credential(), publish_topics=("up/{}",), subscribe_topics=("down/a", "down/b")
    )
    assert encode_all("mosquitto", credential)["bridge.conf"].endswith(
        b"topic up/{} out 1\ntopic down/a in 1\ntopic down/b in 1\n"
    )


def test_mosquitto_brackets_an_ipv6_address_for_the_bridge_only() -> None:
    files = {f.name: f.data for f in encode("mosquitto", make_credential(), Options(broker_host="fd00::1"))}
    assert b"\naddress [fd00::1]:8883\n" in files["bridge.conf"]
    assert b"\n-h fd00::1\n" in files["mosquitto_sub"]
    assert b"\n--cafile ca.crt\n" in files["mosquitto_sub"]


def test_certificates_in_the_vectors_are_what_they_say() -> None:
    credential = make_credential(with_factory=True)
    leaf, *issuers = map(x509.load_der_x509_certificate, (credential.certificate_der, *credential.chain))
    assert leaf.serial_number == credential.serial
    assert leaf.not_valid_after_utc == credential.validity.not_after
    for subject, issuer in zip([leaf, *issuers], [*issuers, issuers[-1]], strict=True):
        subject.verify_directly_issued_by(issuer)
