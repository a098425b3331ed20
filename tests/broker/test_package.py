"""Packages: what was changed, cut, lengthened or signed by another is refused, whichever octet it is."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from iotonboard.broker.package import (
    FILES,
    LABEL,
    IssuerPart,
    Manifest,
    Package,
    describe,
    read_package,
    render_package,
)
from iotonboard.errors import NotFoundError, PolicyError
from iotonboard.model import KeyType
from iotonboard.pki.key_id import key_id
from iotonboard.pki.pem import pem_encode
from iotonboard.pki.signatures import sign_statement
from iotonboard.pki.verifying import statement_holds

from support import pki

CONTENT = {"crl.pem": b"a list\n" * 7, "mosquitto.acl": b"user a\ntopic read x\n", "ca.crt": b"a certificate\n"}


def make(path: Path, *, files: dict[str, bytes] = CONTENT, keys: tuple[KeyType, ...] = (KeyType.EC_P256,)) -> Manifest:
    manifest = Manifest(7, pki.NOW, pki.NOW, pki.NOW + timedelta(days=30), 3, describe(files))
    path.write_bytes(b"".join(render_package(manifest, files, [pki.signer(one) for one in keys])))
    return manifest


def read(path: Path, *anchors: KeyType) -> Package:
    return read_package(str(path), [pki.issuer(one).certificate_der for one in anchors or (KeyType.EC_P256,)])


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.EC_P384, KeyType.RSA_2048, KeyType.ED25519])
def test_what_was_packed_comes_out(tmp_path: Path, key_type: KeyType) -> None:
    manifest = make(tmp_path / "p", keys=(key_type,))
    found = read(tmp_path / "p", key_type)
    assert (found.manifest, dict(found.files)) == (manifest, CONTENT)


def test_what_is_signed_keeps_its_octets(tmp_path: Path) -> None:
    """Packages that were made before are read by a program that was made later."""
    make(tmp_path / "p")
    label, manifest, signature, *rest = (tmp_path / "p").read_bytes().split(b"\n", 3)
    assert label == b"iotonboard package v1"
    assert manifest.decode() == (
        '{"counter":7,"created":1906545600,"crl_number":3,"expires":1909137600,"files":['
        '["crl.pem",49,"09998fe05d16e491b2ae2acb76ef8ac5dd538a6ae09960e17a616b80435f39a7"],'
        '["mosquitto.acl",20,"059c80195c5d73542f686d69b680c85674f6c9e908e996afebc9c4ea27e2c627"],'
        '["ca.crt",14,"f15424e481397dd54c332af1e6e866a74d2e9a6c9b29aefa8ee7a355fce1d57d"]],"not_before":1906545600}'
    )
    assert statement_holds(
        pki.issuer().certificate_der, b"%b\n%b\n" % (label, manifest), base64.b64decode(signature, validate=True)
    )
    assert rest == [b"".join(CONTENT.values())]


def test_any_of_two_cas_may_be_pinned_and_no_third(tmp_path: Path) -> None:
    make(tmp_path / "p", keys=(KeyType.EC_P256, KeyType.ED25519))
    read(tmp_path / "p", KeyType.EC_P256)
    read(tmp_path / "p", KeyType.ED25519)
    with pytest.raises(PolicyError, match="not signed by the CA"):
        read(tmp_path / "p", KeyType.EC_P384, KeyType.RSA_2048)
    with pytest.raises(PolicyError, match="not signed by the CA"):
        read_package(str(tmp_path / "p"), [])


def test_every_changed_octet_is_refused(tmp_path: Path) -> None:
    make(tmp_path / "p")
    whole = (tmp_path / "p").read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x01
        (tmp_path / "q").write_bytes(changed)
        with pytest.raises(PolicyError):
            read(tmp_path / "q")


def test_every_shorter_file_and_a_longer_one_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "p")
    whole = (tmp_path / "p").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "q").write_bytes(whole[:length])
        with pytest.raises(PolicyError):
            read(tmp_path / "q")
    (tmp_path / "q").write_bytes(whole + b"\0")
    with pytest.raises(PolicyError, match="longer"):
        read(tmp_path / "q")


def test_a_large_package_is_read_in_pieces(tmp_path: Path) -> None:
    files = CONTENT | {"mosquitto.acl": bytes(range(256)) * 20000}
    make(tmp_path / "p", files=files)
    assert dict(read(tmp_path / "p").files) == files
    with (tmp_path / "p").open("ab") as file:
        file.truncate((tmp_path / "p").stat().st_size + (1 << 30))
    with pytest.raises(PolicyError, match="longer"):
        read(tmp_path / "p")


def test_files_change_places_only_with_a_signature(tmp_path: Path) -> None:
    manifest = Manifest(7, pki.NOW, pki.NOW, pki.NOW, 3, tuple(reversed(describe(CONTENT))))
    (tmp_path / "p").write_bytes(b"".join(render_package(manifest, CONTENT, [pki.signer()])))
    with pytest.raises(PolicyError, match="other things"):
        read(tmp_path / "p")


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "not a package"),
        (b"PK\x03\x04", "not a package"),
        (b"iotonboard package v4\n{}\n\n", "newer version"),
        (LABEL + b"{" * 70000, "cut short"),
        (LABEL + b"{}\n" + b"AA== " * 30 + b"\n", "damaged"),
        (LABEL + b"{}\nAA==\n", "not signed"),
        (b"iotonboard package v2\n{}\n\n", "not signed"),
        (LABEL + b"{}\n\n", "not signed"),
        (LABEL + b"{}\n\nAA==\n", "not signed"),
        (LABEL + b"{}\nAA ==\n", "damaged"),
        (LABEL + b"{}\nAA\n", "damaged"),
        (LABEL + b"{}\n", "cut short"),
    ],
)
def test_what_is_no_package_is_named(tmp_path: Path, octets: bytes, words: str) -> None:
    (tmp_path / "p").write_bytes(octets)
    with pytest.raises(PolicyError, match=words):
        read(tmp_path / "p")


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read(tmp_path / "p")
    assert tuple(CONTENT) == FILES


def of_form_2(key: KeyType = KeyType.EC_P256) -> tuple[Manifest, dict[str, bytes]]:
    certificate = pki.issuer(key).certificate_der
    files = CONTENT | {"ca.crt": pem_encode("CERTIFICATE", certificate)}
    part = IssuerPart("ab" * 32, 3, {"0A": "expired", "0B": "released"})
    times = pki.NOW, pki.NOW, pki.NOW + timedelta(days=30)
    manifest = Manifest(7, *times, 3, describe(files), 2, key_id(certificate), (part,), ("cd" * 32,), 5)
    return manifest, files


def test_form_2_says_what_left_and_what_goes(tmp_path: Path) -> None:
    manifest, files = of_form_2()
    (tmp_path / "p").write_bytes(b"".join(render_package(manifest, files, [pki.signer()])))
    assert read(tmp_path / "p").manifest == manifest
    del files["mosquitto.acl"]
    without = replace(manifest, files=describe(files))
    (tmp_path / "p").write_bytes(b"".join(render_package(without, files, [pki.signer()])))
    assert dict(read(tmp_path / "p").files) == files
    many = replace(
        without, issuers=(replace(manifest.issuers[0], left={f"{n:040X}": "expired" for n in range(40000)}),)
    )
    (tmp_path / "p").write_bytes(b"".join(render_package(many, files, [pki.signer()])))
    assert read(tmp_path / "p").manifest == many


def test_a_stolen_key_has_no_say_in_the_counter_of_another_ca(tmp_path: Path) -> None:
    manifest, files = of_form_2(KeyType.ED25519)
    (tmp_path / "p").write_bytes(b"".join(render_package(manifest, files, [pki.signer()])))
    with pytest.raises(PolicyError, match="not signed by the CA that it says it is of"):
        read(tmp_path / "p")
    (tmp_path / "p").write_bytes(b"".join(render_package(manifest, files, [pki.signer(), pki.signer(KeyType.ED25519)])))
    assert read(tmp_path / "p").manifest == manifest


@pytest.mark.parametrize("names", [("crl.pem",), ("ca.crt", "crl.pem"), ("crl.pem", "other", "ca.crt")])
def test_form_2_holds_known_files_in_their_order(tmp_path: Path, names: tuple[str, ...]) -> None:
    manifest, _ = of_form_2()
    wrong = replace(manifest, files=tuple((name, 0, "") for name in names))
    statement = wrong.statement()
    words = base64.b64encode(sign_statement(pki.signer(), statement))
    (tmp_path / "p").write_bytes(statement + words + b"\n")
    with pytest.raises(PolicyError, match="other things"):
        read(tmp_path / "p")
