"""CAs, CA files and chains: whose devices a broker takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from iotonboard.pki import der

from support.situations import Making, Situation
from support.situations.devices import BOTH, CLIENT, SERVER, ns_type
from support.strange import UNKNOWN, Made, make_ca, make_certificate, make_crl, make_device, name, pem, usage

SIGNS = usage("key_cert_sign", "crl_sign")
URN = x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:uuid:6a0ecf65-4f83-4c3b-8f21-0e8e1ab13b6c")])


def basic(path_length: int | None = None, *, ca: bool = True) -> x509.BasicConstraints:
    return x509.BasicConstraints(ca=ca, path_length=path_length)


def authority(cause: str, *, device: Iterable[x509.ExtensionType] = (), **options: object) -> Making:
    """One CA as the options say, its list, and a device that is in order."""

    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}", **options)
        extensions = [usage("digital_signature"), CLIENT, *device]
        return Situation(make_device(ca, title, extensions=extensions), cause, (ca,), (make_crl(ca),))

    return make


def chain(
    cause: str,
    *,
    cafile: Iterable[int] = (0, 1),
    sends: Iterable[int] = (),
    lists: Iterable[int] = (0, 1),
    root: dict[str, object] | None = None,
    **below: object,
) -> Making:
    """Two CAs, 0 and 1: which of them are in the CA file, are sent by the device, and have a list."""

    def make(title: str) -> Situation:
        top = make_ca(f"root: {title}", **(root or {}))
        cas = (top, make_ca(f"sub: {title}", issuer=top, **below))
        return Situation(
            make_device(cas[1], title),
            cause,
            tuple(cas[number] for number in cafile),
            tuple(make_crl(cas[number]) for number in lists),
            tuple(cas[number] for number in sends),
        )

    return make


def three(cause: str, *, sends: bool = False, **options: object) -> Making:
    """Three CAs; the one in the middle is in the CA file, or sent. The options are the root's."""

    def make(title: str) -> Situation:
        root = make_ca(f"root: {title}", **options)
        middle = make_ca(f"middle: {title}", issuer=root)
        sub = make_ca(f"sub: {title}", issuer=middle)
        cas, sent = ((root, sub), (sub, middle)) if sends else ((sub, middle, root), ())
        return Situation(make_device(sub, title), cause, cas, tuple(map(make_crl, (root, middle, sub))), sent)

    return make


def renewed(cause: str, *, order: Iterable[int], of_old: bool = False, **old: object) -> Making:
    """A CA (0) and its renewal with the same key (1), and a device of one of them."""

    def make(title: str) -> Situation:
        first = make_ca(f"CA: {title}", **old)
        pair = (first, make_ca(f"CA: {title}", key_of=first))
        issuer = pair[0 if of_old else 1]
        return Situation(make_device(issuer, title), cause, tuple(pair[number] for number in order), (make_crl(first),))

    return make


def namesakes(
    cause: str, *, own_list: bool = True, revoked: bool = False, key_id: bool = True, own_first: bool = False
) -> Making:
    """Two CAs of one name and two keys, as after a rollover; the device is of the newer one."""

    def make(title: str) -> Situation:
        old, new = make_ca(f"CA: {title}", key_id=key_id), make_ca(f"CA: {title}", key_id=key_id)
        device = make_device(new, title, key_id=key_id)
        own = (make_crl(new, *((device,) if revoked else ()), key_id=key_id),) if own_list else ()
        cas = (new, old) if own_first else (old, new)
        return Situation(device, cause, cas, (make_crl(old, key_id=key_id), *own))

    return make


def identified(cause: str, key_id: Callable[[Made, Made], x509.AuthorityKeyIdentifier]) -> Making:
    """A device whose authority key identifier is made of its CA and another one of the same name."""

    def make(title: str) -> Situation:
        ca, other = make_ca(f"CA: {title}"), make_ca(f"another CA: {title}")
        return Situation(make_device(ca, title, key_id=key_id(ca, other)), cause, (ca,), (make_crl(ca),))

    return make


def _by_number(_: Made, named: Made) -> x509.AuthorityKeyIdentifier:
    issuer = [x509.DirectoryName(named.certificate.issuer)]
    return x509.AuthorityKeyIdentifier(None, issuer, named.certificate.serial_number)


def respelled(cause: str, issuer: x509.Name, spelling: x509.Name) -> Making:
    """A device that spells its CA's name in another way."""

    def make(title: str) -> Situation:
        ca = make_certificate(issuer, [basic(), SIGNS], days=(-2, 3650))
        change = [(issuer.public_bytes(), spelling.public_bytes())]
        return Situation(make_device(ca, title, change=change), cause, (ca,), (make_crl(ca),))

    return make


def trusted(cause: str, *parts: bytes, label: str = "TRUSTED CERTIFICATE") -> Making:
    """A CA in OpenSSL's own form, which says behind the certificate what it is trusted for."""

    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}")
        block = pem(label, ca.der + (der.sequence(*parts) if parts else b""))
        return Situation(make_device(ca, title), cause, (block,), (make_crl(ca),))

    return make


def cafile(cause: str, content: Callable[[Made, Made], tuple[Made | bytes, ...]], **device: object) -> Making:
    """What is in the CA file, of the CA and the device."""

    def make(title: str) -> Situation:
        ca = make_ca(f"CA: {title}")
        one = make_device(ca, title, **device)
        return Situation(one, cause, content(ca, one), (make_crl(ca),))

    return make


def _self_signed(title: str) -> Situation:
    one = make_certificate(name(title), [basic(ca=False), usage("digital_signature"), CLIENT])
    return Situation(one, "crl-sign-missing", (one,), (make_crl(one),))


def _unknown_chain(title: str) -> Situation:
    one = chain("unknown-issuer", sends=[1, 0])(title)
    return replace(one, cas=(make_ca("another"),))


def _crossed(cause: str, *, cafile: Iterable[int]) -> Making:
    """A new CA (1), certified by the old one too (2), whose device sends that: the old root (0) is known as well."""

    def make(title: str) -> Situation:
        old, new = make_ca(f"old: {title}"), make_ca(f"new: {title}")
        cross = make_ca(f"new: {title}", issuer=old, key_of=new)
        cas = (old, new, cross)
        files = tuple(cas[number] for number in cafile)
        return Situation(make_device(new, title), cause, files, (make_crl(old), make_crl(new)), (cross,))

    return make


def permitted(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(list(names), None)


def excluded(*names: x509.GeneralName) -> x509.NameConstraints:
    return x509.NameConstraints(None, list(names))


def _works(organization: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)]))


def _name(text: str, kind: str = "UTF8String") -> x509.Name:
    types = x509.name._ASN1Type
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _type=types[kind])])


_NO_NUMBER = (der.explicit(0, der.integer(2)), b"")
_FOR_CLIENTS, _FOR_SERVERS = der.oid("1.3.6.1.5.5.7.3.2"), der.oid("1.3.6.1.5.5.7.3.1")
_POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)])

AUTHORITIES: dict[str, Making] = {
    "CA expired": authority("ca-not-valid", days=(-9, -1)),
    "CA not yet valid": authority("ca-not-valid", days=(1, 9)),
    "CA with Ed25519": authority("", key="ed25519"),
    "CA with Ed448": authority("", key="ed448"),
    "CA with P-521": authority("", key="SECP521R1"),
    "CA with secp256k1": authority("", key="SECP256K1"),
    "CA with RSA 1024": authority("too-weak", key="1024"),
    "CA signed with SHA-1": authority("", key="2048", sha1=True),
    "CA without cRLSign": authority("crl-sign-missing", extensions=[basic(), usage("key_cert_sign")]),
    "CA without keyCertSign": authority("not-a-ca", extensions=[basic(), usage("crl_sign")]),
    "CA without any usage": authority("", extensions=[basic()]),
    "CA that is none": authority("not-a-ca", extensions=[basic(ca=False), SIGNS]),
    "CA without basic constraints": authority("", extensions=[SIGNS]),
    "CA without any extension": authority("not-a-ca", extensions=[]),
    "CA of version 1": authority("", extensions=[], key_id=False, change=[_NO_NUMBER]),
    "CA for servers": authority("ca-not-for-clients", extensions=[basic(), SIGNS, SERVER]),
    "CA for clients": authority("", extensions=[basic(), SIGNS, CLIENT]),
    "CA for both": authority("", extensions=[basic(), SIGNS, BOTH]),
    "CA for any purpose": authority(
        "ca-not-for-clients",
        extensions=[basic(), SIGNS, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])],
    ),
    "CA of the old type for mail": authority("ca-not-for-clients", extensions=[ns_type(b"\x01\x02")]),
    "CA of the old type for clients": authority("", extensions=[ns_type(b"\x02\x04")]),
    "CA with an unknown critical extension": authority("unknown-extension", extensions=[basic(), SIGNS, UNKNOWN]),
    "CA that requires a policy": authority("", extensions=[basic(), SIGNS, x509.PolicyConstraints(0, None)]),
    "CA that inhibits any policy": authority("", extensions=[basic(), SIGNS, x509.InhibitAnyPolicy(0)]),
    "CA with a policy": authority("", extensions=[basic(), SIGNS, _POLICY]),
    "CA for a directory, the device is in it": authority("", extensions=[basic(), SIGNS, permitted(_works("Works"))]),
    "CA for another directory": authority(
        "name-not-permitted", extensions=[basic(), SIGNS, permitted(_works("Other"))]
    ),
    "CA without a directory": authority("name-not-permitted", extensions=[basic(), SIGNS, excluded(_works("Works"))]),
    "CA without another directory": authority("", extensions=[basic(), SIGNS, excluded(_works("Other"))]),
    "CA for a host, the device is none": authority(
        "", extensions=[basic(), SIGNS, permitted(x509.DNSName("plant.local"))]
    ),
    "CA for a host, the device has another": authority(
        "name-not-permitted",
        device=[x509.SubjectAlternativeName([x509.DNSName("press.other")])],
        extensions=[basic(), SIGNS, permitted(x509.DNSName("plant.local"))],
    ),
    "CA for a URI, the device has none": authority(
        "", extensions=[basic(), SIGNS, permitted(x509.UniformResourceIdentifier("plant.local"))]
    ),
    "CA for a URI, the device is a UUID": authority(
        "name-not-permitted",
        device=[URN],
        extensions=[basic(), SIGNS, permitted(x509.UniformResourceIdentifier("plant.local"))],
    ),
    "CA with constraints nobody knows": authority(
        "name-not-permitted",
        device=[x509.SubjectAlternativeName([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))])],
        extensions=[basic(), SIGNS, permitted(x509.RegisteredID(x509.ObjectIdentifier("1.2.3")))],
    ),
    "two levels": chain(""),
    "two levels without the root": chain("unknown-issuer", cafile=[1]),
    "two levels without the lower list": chain("crl-missing", lists=[0]),
    "two levels without the root's list": chain("", lists=[1]),
    "two levels, a root without room": chain("path-too-long", root={"extensions": [basic(0), SIGNS]}),
    "two levels, the lower one without room": chain("", extensions=[basic(0), SIGNS]),
    "two levels, the lower one for servers": chain("ca-not-for-clients", extensions=[basic(), SIGNS, SERVER]),
    "two levels, the root for servers": chain("ca-not-for-clients", root={"extensions": [basic(), SIGNS, SERVER]}),
    "two levels, the lower one for clients": chain("", extensions=[basic(), SIGNS, CLIENT]),
    "two levels, the lower one expired": chain("ca-not-valid", days=(-9, -1)),
    "two levels, the root expired": chain("ca-not-valid", root={"days": (-9, -1)}),
    "two levels, the lower one of version 1": chain("not-a-ca", extensions=[], key_id=False, change=[_NO_NUMBER]),
    "two levels, the lower one without basic constraints": chain("not-a-ca", extensions=[usage("digital_signature")]),
    "two levels, the root's names are others": chain(
        "name-not-permitted", root={"extensions": [basic(), SIGNS, permitted(_works("Other"))]}
    ),
    "the device sends its CA": chain("", cafile=[0], sends=[1]),
    "the device sends all CAs, in disorder": chain("", cafile=[0], sends=[0, 1]),
    "the device sends the root only": chain("unknown-issuer", cafile=[0], sends=[0]),
    "the device sends CAs that nobody knows": _unknown_chain,
    "the device sends a CA without a list": chain("crl-missing", cafile=[0], sends=[1], lists=[0]),
    "the device sends a CA that expired": chain("ca-not-valid", cafile=[0], sends=[1], days=(-9, -1)),
    "the device sends its CA, the root is not there": chain("unknown-issuer", cafile=[1], sends=[1]),
    "three levels, the lowest first": three(""),
    "three levels, the device sends two": three("unknown-issuer", sends=True),
    "three levels, room for one": three("path-too-long", extensions=[basic(1), SIGNS]),
    "three levels, room for two": three("", extensions=[basic(2), SIGNS]),
    "renewed CA": renewed("", order=[1]),
    "renewed CA beside the old one": renewed("", order=[0, 1]),
    "renewed CA, the old one first and expired": renewed("", order=[0, 1], days=(-9, -1)),
    "renewed CA, the old one last and expired": renewed("", order=[1, 0], days=(-9, -1)),
    "renewed CA, device of the old one": renewed("", order=[1], of_old=True),
    "renewed CA, the old one alone": renewed("ca-not-valid", order=[0], days=(-9, -1)),
    "namesakes": namesakes(""),
    "namesakes, the own first": namesakes("", own_first=True),
    "namesakes, revoked": namesakes("revoked", revoked=True),
    "namesakes without the own list": namesakes("crl-missing", own_list=False),
    "namesakes without key identifiers": namesakes("bad-signature", key_id=False),
    "namesakes without key identifiers, the own first": namesakes("crl-bad-signature", key_id=False, own_first=True),
    "old and new CA, certified by each other": _crossed("", cafile=[0, 1]),
    "new CA alone, the device sends the bridge": _crossed("", cafile=[1]),
    "old CA alone, the device sends the bridge": _crossed("", cafile=[0]),
    "old CA and bridge": _crossed("", cafile=[0, 2]),
    "key identifier of another CA": identified(
        "unknown-issuer", lambda _, other: x509.AuthorityKeyIdentifier.from_issuer_public_key(other.key.public_key())
    ),
    "key identifier by name and number": identified("", lambda ca, _: _by_number(ca, ca)),
    "key identifier by another's name and number": identified("unknown-issuer", _by_number),
    "name in capitals": respelled("", _name("plant ca"), _name("PLANT CA")),
    "name with more blanks": respelled("", _name("plant ca"), _name(" plant  ca ")),
    "name of another string type": respelled("", _name("plant ca"), _name("plant ca", "PrintableString")),
    "name in capitals beyond ASCII": respelled("unknown-issuer", _name("prüfstand"), _name("PRÜFSTAND")),
    "trusted certificate": trusted(""),
    "trusted certificate for clients": trusted("", der.sequence(_FOR_CLIENTS)),
    "trusted certificate for servers": trusted("refused", der.sequence(_FOR_SERVERS)),
    "trusted certificate, not for clients": trusted("refused", der.tlv(0xA0, _FOR_CLIENTS)),
    "certificate of the old label": trusted("", label="X509 CERTIFICATE"),
    "CA twice": cafile("", lambda ca, _: (ca, ca)),
    "CA beside its list": cafile("", lambda ca, _: (ca, make_crl(ca))),
    "CA beside a list that revokes": cafile("revoked", lambda ca, one: (ca, make_crl(ca, one, days=(-0.5, 9)))),
    "CA beside its key": cafile("", lambda ca, _: (ca.key_pem, ca)),
    "CA beside the device": cafile("", lambda ca, one: (one, ca)),
    "the device in the place of its CA": cafile("unknown-issuer", lambda _, one: (one,)),
    "another CA in its place": cafile("unknown-issuer", lambda _ca, _one: (make_ca("another"),)),
    "a list in the place of the CA": cafile("unknown-issuer", lambda ca, _: (make_crl(ca),)),
    "the device is its own CA": _self_signed,
}  # fmt: skip
