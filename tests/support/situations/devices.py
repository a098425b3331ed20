"""Devices of a CA that is in order, with a list that is: what is wrong is the device's own."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from iotonboard.pki import der

from support.situations import Making, Situation
from support.strange import UNKNOWN, make_ca, make_crl, make_device, name, usage

CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
BOTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
IS_CA = x509.BasicConstraints(ca=True, path_length=None)
PLAIN = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), b"\x05\x00")


def device(cause: str, *, ca_key: str = "ec", **options: object) -> Making:
    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}", key=ca_key)
        return Situation(make_device(ca, title, **options), cause, (ca,), (make_crl(ca),))

    return make


def extension(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    """An extension as it is, critical."""
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


def ns_type(bits: bytes) -> x509.UnrecognizedExtension:
    """The old netscape-cert-type, which OpenSSL still heeds."""
    return extension("2.16.840.1.113730.1.1", b"\x03\x02" + bits)


def _long(length: int) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:" + "x" * length)])


def called(cause: str, octets: bytes) -> Making:
    """A device whose commonName is this element, tag and length included."""

    def make(title: str) -> Situation:
        ca, subject = make_ca(f"CA: {title}"), name("as it will be called")
        part = der.sequence(der.oid("2.5.4.3"), octets)
        change = [(subject.public_bytes(), der.sequence(der.tlv(der.SET, part)))]
        return Situation(make_device(ca, title, subject=subject, change=change), cause, (ca,), (make_crl(ca),))

    return make


def _wide(text: str) -> bytes:
    return der.tlv(0x1E, text.encode("utf-16-be"))


def _named(*common_names: str) -> x509.Name:
    return name(*common_names)


_TWO_IN_ONE = x509.Name(
    [
        x509.RelativeDistinguishedName(
            [x509.NameAttribute(NameOID.COMMON_NAME, "b"), x509.NameAttribute(NameOID.COMMON_NAME, "a")]
        )
    ]
)
_NO_NUMBER = der.explicit(0, der.integer(2))

DEVICES: dict[str, Making] = {
    "as usual": device(""),
    "device expired": device("expired", days=(-9, -1)),
    "device not yet valid": device("not-yet-valid", days=(1, 9)),
    "device that ends before it begins": device("expired", days=(-1, -0.5)),
    "device until 9999": device("", days=(-1, 2_900_000)),
    "device for servers": device("not-for-clients", extensions=[SERVER]),
    "device for both": device("", extensions=[BOTH]),
    "device for any purpose": device(
        "not-for-clients", extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])]
    ),
    "device for mail": device(
        "not-for-clients", extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])]
    ),
    "device without purposes": device("", extensions=[]),
    "device that enciphers only": device("not-for-clients", extensions=[usage("key_encipherment"), CLIENT]),
    "device that agrees keys": device("", extensions=[usage("key_agreement"), CLIENT]),
    "device that signs certificates only": device("not-for-clients", extensions=[usage("key_cert_sign"), CLIENT]),
    "device that is a CA": device("", extensions=[IS_CA, CLIENT]),
    "device of the old type client": device("", extensions=[ns_type(b"\x07\x80")]),
    "device of the old type server": device("not-for-clients", extensions=[ns_type(b"\x06\x40")]),
    "device with an unknown critical extension": device("unknown-extension", extensions=[UNKNOWN, CLIENT]),
    "device with two unknown critical extensions": device("unknown-extension", extensions=[UNKNOWN, PLAIN, CLIENT]),
    "device that is a proxy": device(
        "refused",
        extensions=[
            extension("1.3.6.1.5.5.7.1.14", der.sequence(der.sequence(der.oid("1.3.6.1.5.5.7.21.1")))),
            CLIENT,
        ],
    ),
    "device with 60 000 octets": device("", extensions=[_long(60_000), CLIENT]),
    "device with 110 000 octets": device(
        "refused", extensions=[_long(110_000), CLIENT]
    ),
    "device signed with SHA-1": device("too-weak", ca_key="2048", sha1=True),
    "device with RSA 1024": device("too-weak", key="1024"),
    "device with RSA 2048": device("", key="2048"),
    "device with Ed25519": device("", key="ed25519"),
    "device with Ed448": device("", key="ed448"),
    "device with P-384": device("", key="SECP384R1"),
    "device with P-521": device("", key="SECP521R1"),
    "device with P-224": device("wrong-curve", key="SECP224R1"),
    "device with secp256k1": device("wrong-curve", key="SECP256K1"),
    "device with brainpool": device("wrong-curve", key="BrainpoolP256R1"),
    "device with the serial number 1": device("", serial=1),
    "device with a negative serial number": device("", serial=127, change=[(b"\x02\x01\x7f", b"\x02\x01\xff")]),
    "device with the serial number 0": device("", serial=126, change=[(b"\x02\x01\x7e", b"\x02\x01\x00")]),
    "device of version 1": device("", extensions=[], key_id=False, change=[(_NO_NUMBER, b"")]),
    "device without a common name": device("no-common-name", subject=name()),
    "device without any name": device("no-common-name", subject=x509.Name([])),
    "device with an empty common name": called("", b"\x0c\x00"),
    "device with two common names": device("", subject=_named("first", "second")),
    "device with two common names in one set": device("", subject=_TWO_IN_ONE),
    "device with a common name of 64": device("", subject=_named("x" * 64)),
    "device with a common name of 300": called("", der.tlv(der.UTF8_STRING, b"x" * 300)),
    "device with a common name of UTF-8": called("", der.tlv(der.UTF8_STRING, "prüfstand".encode())),
    "device with a common name of T61": called("", der.tlv(0x14, b"press-1")),
    "device with a common name of T61 in Latin-1": called("", der.tlv(0x14, b"pr\xfcf")),
    "device with a common name of IA5": called("", der.tlv(0x16, b"press@1")),
    "device with a common name of BMP": called("no-common-name", _wide("press")),
    "device with a common name of BMP without a zero": called("", _wide("慡慢")),
    "device with a common name of UniversalString": called("no-common-name", der.tlv(0x1C, "ab".encode("utf-32-be"))),
    "device with a zero in its common name": called("no-common-name", der.tlv(der.UTF8_STRING, b"ad\0min")),
    "device with a zero behind its common name": called("no-common-name", der.tlv(der.UTF8_STRING, b"admin\0")),
    "device with a line end in its common name": called("", der.tlv(der.UTF8_STRING, b"ad\nmin")),
    "device with a common name of DEL": called("", der.tlv(der.UTF8_STRING, b"ad\x7fmin")),
    "device with a blank in its common name": called("", der.tlv(der.UTF8_STRING, b"ad min ")),
    "device with wildcards in its common name": called("", der.tlv(der.UTF8_STRING, b"+/#")),
    "device with a common name of U+FFFF": called("", der.tlv(der.UTF8_STRING, "a\uffff".encode())),
    "device with a common name of bits": called("no-common-name", b"\x03\x06\x00abcde"),
    "device with a common name of bits alone": called("no-common-name", b"\x03\x05\x00bits"),
}  # fmt: skip
