"""One broker with many CAs, good and strange ones: what ``verify`` says of each device, and what Mosquitto does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from support.broker import BROKER_NAMES
from support.client import Credentials, connect_answer
from support.program import State
from support.strange import (
    UNKNOWN,
    Made,
    distribution_point,
    make_ca,
    make_crl,
    make_device,
    name,
    usage,
)

CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
URL = [x509.UniformResourceIdentifier("http://plant/crl")]


@dataclass(frozen=True)
class Situation:
    """What goes into cafile and crlfile, and the device with its cause; empty is accepted.

    With a delta CRL it depends on the OpenSSL below the broker whether the device gets in.
    """

    device: Made
    cause: str
    cas: tuple[Made, ...]
    crls: tuple[bytes, ...]


def _device(cause: str, *, ca_key: str = "ec", **options: object) -> Callable[[str], Situation]:
    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}", key=ca_key)
        return Situation(make_device(ca, title, **options), cause, (ca,), (make_crl(ca),))

    return make


def _ca(cause: str, *, sub: bool = False, **options: object) -> Callable[[str], Situation]:
    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}", **options)
        return Situation(make_device(ca, title), cause, (ca,), (make_crl(ca),))

    return make


def _crl(
    cause: str, *crls: Callable[[Made, Made], bytes], ca_key: str = "ec", **options: object
) -> Callable[[str], Situation]:
    """Each of ``crls`` makes one from CA and device."""

    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}", key=ca_key)
        device = make_device(ca, title, **options)
        return Situation(device, cause, (ca,), tuple(crl(ca, device) for crl in crls))

    return make


def _idp(**given: object) -> Callable[[Made, Made], bytes]:
    return lambda ca, _device: make_crl(ca, extensions=(distribution_point(**given),))


def _full(ca: Made, _device: Made) -> bytes:
    return make_crl(ca)


def _revoking(ca: Made, device: Made) -> bytes:
    return make_crl(ca, device)


def _delta_of_others(ca: Made, _device: Made) -> bytes:
    return make_crl(ca, extensions=(x509.DeltaCRLIndicator(1),), days=(-0.5, 30))


def _delta(ca: Made, device: Made) -> bytes:
    return make_crl(ca, device, extensions=(x509.DeltaCRLIndicator(1),), days=(-0.5, 30))


def _sub(cause: str, *, with_root: bool = True, sub_revoked: bool = False, sub_crl: bool = True):
    def make(title: str) -> Situation:
        root = make_ca(f"root: {title}")
        sub = make_ca(f"sub: {title}", issuer=root)
        crls = (make_crl(root, *((sub,) if sub_revoked else ())), *((make_crl(sub),) if sub_crl else ()))
        return Situation(make_device(sub, title), cause, (root, sub) if with_root else (sub,), crls)

    return make


def _namesake(cause: str, *, own_crl: bool, revoked: bool = False) -> Callable[[str], Situation]:
    """Two CAs of one name, as after a rollover; the device is of the newer one."""

    def make(title: str) -> Situation:
        old, new = make_ca(f"CA: {title}"), make_ca(f"CA: {title}")
        device = make_device(new, title)
        crls = (make_crl(old), *((make_crl(new, *((device,) if revoked else ())),) if own_crl else ()))
        return Situation(device, cause, (old, new), crls)

    return make


SITUATIONS: dict[str, Callable[[str], Situation]] = {
    "as usual": _device(""),
    "device expired": _device("expired", days=(-9, -1)),
    "device not yet valid": _device("not-yet-valid", days=(1, 9)),
    "device for servers": _device(
        "not-for-clients", extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])]
    ),
    "device for any purpose": _device(
        "not-for-clients", extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])]
    ),
    "device without purposes": _device("", extensions=[]),
    "device that enciphers only": _device("not-for-clients", extensions=[usage("key_encipherment"), CLIENT]),
    "device that agrees keys": _device("", extensions=[usage("key_agreement"), CLIENT]),
    "device that is a CA": _device("", extensions=[x509.BasicConstraints(ca=True, path_length=None), CLIENT]),
    "device with an unknown critical extension": _device("unknown-extension", extensions=[UNKNOWN, CLIENT]),
    "device signed with SHA-1": _device("too-weak", ca_key="2048", sha1=True),
    "device with RSA 1024": _device("too-weak", key="1024"),
    "device with RSA 2048": _device("", key="2048"),
    "device with Ed25519": _device("", key="ed25519"),
    "device without a common name": _device("no-common-name", subject=name()),
    "CA expired": _ca("ca-not-valid", days=(-9, -1)),
    "CA not yet valid": _ca("ca-not-valid", days=(1, 9)),
    "CA with Ed25519": _ca("", key="ed25519"),
    "CA with RSA 1024": _ca("too-weak", key="1024"),
    "CA signed with SHA-1": _ca("", key="2048", sha1=True),
    "CA without cRLSign": _ca(
        "crl-sign-missing", extensions=[x509.BasicConstraints(ca=True, path_length=None), usage("key_cert_sign")]
    ),
    "CA without keyCertSign": _ca(
        "not-a-ca", extensions=[x509.BasicConstraints(ca=True, path_length=None), usage("crl_sign")]
    ),
    "CA without any usage": _ca("", extensions=[x509.BasicConstraints(ca=True, path_length=None)]),
    "CA that is none": _ca(
        "not-a-ca", extensions=[x509.BasicConstraints(ca=False, path_length=None), usage("key_cert_sign", "crl_sign")]
    ),
    "CA without basic constraints": _ca("", extensions=[usage("key_cert_sign", "crl_sign")]),
    "no CRL of this CA": _crl("crl-missing"),
    "CRL expired": _crl("crl-expired", lambda ca, _: make_crl(ca, days=(-9, -1))),
    "CRL not yet valid": _crl("crl-not-yet-valid", lambda ca, _: make_crl(ca, days=(1, 9))),
    "CRL revokes": _crl("revoked", _revoking),
    "CRL with a hold": _crl(
        "revoked", lambda ca, device: make_crl(ca, device, reason=x509.ReasonFlags.certificate_hold)
    ),
    "CRL entry removed from a CRL": _crl(
        "", lambda ca, device: make_crl(ca, device, reason=x509.ReasonFlags.remove_from_crl)
    ),
    "CRL signed with SHA-1": _crl("", lambda ca, _: make_crl(ca, sha1=True), ca_key="2048"),
    "CRL without a key identifier": _crl("", lambda ca, _: make_crl(ca, key_id=False)),
    "CRL with an unknown critical extension": _crl(
        "crl-unknown-extension", lambda ca, _: make_crl(ca, extensions=(UNKNOWN,))
    ),
    "CRL for a URL": _crl("crl-other-scope", _idp(full_name=URL)),
    "CRL for a URL, the device has it": _crl(
        "",
        _idp(full_name=URL),
        extensions=[CLIENT, x509.CRLDistributionPoints([x509.DistributionPoint(URL, None, None, None)])],
    ),
    "CRL for users": _crl("", _idp(only_contains_user_certs=True)),
    "CRL for CAs": _crl("crl-other-scope", _idp(only_contains_ca_certs=True)),
    "CRL for attributes": _crl("crl-other-scope", _idp(only_contains_attribute_certs=True)),
    "CRL for some reasons": _crl("crl-missing", _idp(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise]))),
    "CRL for others": _crl("crl-missing", _idp(indirect_crl=True)),
    "delta alone": _crl("crl-delta", _delta),
    "delta of others alone": _crl("crl-delta", _delta_of_others),
    "delta beside a full CRL": _crl("crl-delta", _full, _delta),
    "delta beside a full CRL that revokes": _crl("crl-delta", _revoking, _delta_of_others),
    "two levels": _sub(""),
    "two levels without the root": _sub("unknown-issuer", with_root=False),
    "two levels, the lower one revoked": _sub("", sub_revoked=True),
    "two levels without the lower CRL": _sub("crl-missing", sub_crl=False),
    "namesakes": _namesake("", own_crl=True),
    "namesakes, revoked": _namesake("revoked", own_crl=True, revoked=True),
    "namesakes without the own CRL": _namesake("crl-missing", own_crl=False),
}


def test_every_certificate_meets_the_fate_that_verify_tells(state: State, start_broker, tmp_path: Path) -> None:
    situations = {title: make(title) for title, make in SITUATIONS.items()}
    trust = tmp_path / "ca.crt"
    trust.write_bytes(state.ca_cert.read_bytes())
    state.run("broker", "issue", *BROKER_NAMES, "--plain-key")
    state.ca_cert.write_bytes(b"".join(ca.pem for one in situations.values() for ca in one.cas))
    state.crl.write_bytes(b"".join(crl for one in situations.values() for crl in one.crls))
    broker = start_broker(state)
    words, done = [], {}
    for title, one in situations.items():
        cert, key = tmp_path / f"{title}.crt", tmp_path / f"{title}.key"
        cert.write_bytes(one.device.pem)
        key.write_bytes(one.device.key_pem)
        words += ["--cert", cert]
        done[title] = connect_answer(broker, Credentials(title, trust, cert, key), weak=True) == "Success"
    answer = state.json("verify", *words, expect=9)
    verdicts = {Path(one["file"]).stem: one["at_start"] for one in answer["devices"]}
    assert {title: one["cause"] for title, one in verdicts.items()} == {
        title: one.cause or "ok" for title, one in situations.items()
    }
    told = {title: one["accepted"] for title, one in verdicts.items() if one["accepted"] is not None}
    assert set(situations) - set(told) == {title for title in situations if "delta" in title}
    assert told == {title: done[title] for title in told} == {title: not situations[title].cause for title in told}
    deltas = [one for one in answer["problems"] if one["code"] == "crl-delta"]
    assert len(deltas) == 4
    assert all("depends on the broker's OpenSSL" in one["message"] for one in deltas)
