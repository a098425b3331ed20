"""What expires among the files of a broker's machine, which has no state: CRLs, CA certificates and leaf certificates.

Nothing is verified here, and whatever a broker may have is read: foreign CAs, any type of key, a CRL without a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iotonboard.broker.certificate_file import read_certificate_file
from iotonboard.disk.reading import read_file
from iotonboard.errors import PolicyError
from iotonboard.model import SerialNumber
from iotonboard.pki.given import crls_in
from iotonboard.pki.parse_errors import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class End:
    """When one thing ends. ``kind``: ``device``, ``broker``, ``ca`` or ``crl``; ``key``: its serial or number.

    ``holder`` stays the same when the thing is made anew.
    """

    kind: str
    name: str
    key: str
    not_after: datetime
    holder: str


@dataclass(frozen=True, slots=True)
class BrokerMachine:
    """The files of a broker's machine: with CRLs, with CA certificates, and with certificates and what signed them."""

    crl: Sequence[str] = ()
    ca: Sequence[str] = ()
    cert: Sequence[str] = ()


def ends_in_files(files: BrokerMachine) -> Iterator[End]:
    """Everything in the files that has an end, due or not, each once; of an issuer's CRLs the one that lasts longest.

    A CRL without nextUpdate and a delta CRL are passed over: neither ends what a broker accepts.

    Raises:
        NotFoundError: there is no such file.
        ConflictError: one is too large.
        PolicyError: one holds none of what it is named for, or something damaged.
        BusyError: one cannot be read.
    """
    named = ((path, is_ca) for is_ca, paths in ((True, files.ca), (False, files.cert)) for path in paths)
    found = {item: None for path, is_ca in named for item in _certificates(path, may_be_old_root=is_ca)}
    yield from found
    newest: dict[str, End] = {}
    for item in (item for path in files.crl for item in _lists(path)):
        if item.holder not in newest or newest[item.holder].not_after < item.not_after:
            newest[item.holder] = item
    yield from newest.values()


def _certificates(path: str, *, may_be_old_root: bool) -> Iterator[End]:
    for octets in read_certificate_file(path):
        try:
            yield _certificate(octets, may_be_old_root=may_be_old_root)
        except UNREADABLE as error:
            raise PolicyError(
                f"{path!r}: a certificate in it cannot be read", hint="'openssl x509 -text -in FILE' may say more"
            ) from error


def _certificate(octets: bytes, *, may_be_old_root: bool) -> End:
    certificate = x509.load_der_x509_certificate(octets)
    end, values = certificate.not_valid_after_utc, {type(one.value): one.value for one in certificate.extensions}
    constraints = values.get(x509.BasicConstraints)
    is_old_root = may_be_old_root and constraints is None and certificate.issuer == certificate.subject
    if is_old_root or (isinstance(constraints, x509.BasicConstraints) and constraints.ca):
        fingerprint = sha256(octets).hexdigest()
        return End("ca", fingerprint[:16], fingerprint, end, holder=fingerprint[:16])
    usages = values.get(x509.ExtendedKeyUsage)
    is_client = isinstance(usages, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.SERVER_AUTH not in usages
    name = _name(certificate, values.get(x509.SubjectAlternativeName), is_client=is_client)
    serial = SerialNumber(certificate.serial_number).hex
    kind = "device" if is_client else "broker"
    return End(kind, name or serial, serial, end, holder=name or serial)


def _name(certificate: x509.Certificate, alternatives: object, *, is_client: bool) -> str:
    """Whom it names: a server by its first host name, where it has one, and anything else by its commonName."""
    if isinstance(alternatives, x509.SubjectAlternativeName) and not is_client:
        hosts = (one for one in alternatives if isinstance(one, (x509.DNSName, x509.IPAddress)))
        if (first := next(hosts, None)) is not None:
            return str(first.value)
    return _words(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[:1])


def _lists(path: str) -> Iterator[End]:
    try:
        yield from _ends(crls_in(read_file(path)))
    except UNREADABLE as error:
        raise PolicyError(f"{path!r}: a CRL in it cannot be read", hint="copy the whole file again") from error
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error


def _ends(lists: Iterable[bytes]) -> Iterator[End]:
    for octets in lists:
        crl = x509.load_der_x509_crl(octets)
        end: datetime | None = crl.next_update_utc
        values = {type(one.value): one.value for one in crl.extensions}
        if end is None or x509.DeltaCRLIndicator in values:
            continue
        number, key = values.get(x509.CRLNumber), values.get(x509.AuthorityKeyIdentifier)
        title = f"CRL {number.crl_number}" if isinstance(number, x509.CRLNumber) else "CRL"
        key_id = (key.key_identifier or b"") if isinstance(key, x509.AuthorityKeyIdentifier) else b""
        # A CA with a new key may keep its name: the two are two issuers, and each needs a list that lasts.
        issuer = sha256(crl.issuer.public_bytes() + key_id).hexdigest()[:16]
        name = f"{title} of {_words(crl.issuer) or issuer}"
        yield End("crl", name, f"{title.removeprefix('CRL').strip() or '-'}-{issuer}", end, issuer)


def _words(attributes: Iterable[x509.NameAttribute[str | bytes]]) -> str:
    return ", ".join(str(one.value) for one in attributes)
