"""A CA that another program keeps, with its lists and devices: what is there before this one comes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from support.client import Credentials

_DAY = timedelta(days=1)


class OldFleet:
    """One CA in a folder: ``ca.crt`` with all above it, and whatever lists and devices are asked for.

    Args:
        folder: where files go; made when it is not there.
        name: the CA's commonName.
        above: the CA that signs this one; by default it signs itself.
        key_id: whether certificates and lists name the key.
        usage: what keyUsage allows beside nothing; ``None`` leaves the extension out.
        is_ca: what basicConstraints say; ``None`` leaves the extension out.
        eku: purposes of the CA, none by default.
        begin, days: its life, from now.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "Old Plant CA",
        *,
        above: OldFleet | None = None,
        key_id: bool = True,
        usage: Iterable[str] | None = ("key_cert_sign", "crl_sign"),
        is_ca: bool | None = True,
        eku: Iterable[x509.ObjectIdentifier] = (),
        begin: timedelta = -_DAY,
        days: float = 3650,
        curve: ec.EllipticCurve | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.key_id = folder, key_id
        self.key = ec.generate_private_key(curve or ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = above or self
        builder = self._builder(self.name, issuer, self.key, begin, days)
        if is_ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        if usage is not None:
            allowed = {word: word in set(usage) for word in _USAGES}
            builder = builder.add_extension(x509.KeyUsage(**allowed), critical=True)
        if key_id:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
        if eku := list(eku):
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        self.certificate = builder.sign(issuer.key, SHA256())
        self.ca = folder / "ca.crt"
        chain = above.ca.read_bytes() if above else b""
        self.ca.write_bytes(self.certificate.public_bytes(Encoding.PEM) + chain)
        plain = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "ca.key").write_bytes(plain)

    def _builder(
        self, subject: x509.Name, issuer: OldFleet, key: ec.EllipticCurvePrivateKey, begin: timedelta, days: float
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(issuer.name, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now + begin).not_valid_after(now + begin + timedelta(days=days))
        if issuer.key_id and issuer is not self:
            key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
            builder = builder.add_extension(key_id, critical=False)
        return builder

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(SHA256()).hex()

    def crl(
        self,
        number: int | None = 1,
        *devices: Credentials,
        begin: timedelta = -timedelta(hours=1),
        days: float | None = 30,
        more: x509.ExtensionType | None = None,
        critical: bool = True,
        path: str = "",
    ) -> Path:
        """Sign a list that revokes devices; ``begin`` and ``days`` are its times from now, ``more`` an extension."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.name).last_update(now + begin)
        builder = builder.next_update(now + begin + timedelta(days=days or 1))
        for one in devices:
            serial = x509.load_pem_x509_certificate(one.cert.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now + begin).build()
            builder = builder.add_revoked_certificate(entry)
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        if self.key_id:
            key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(key_id, critical=False)
        if more is not None:
            builder = builder.add_extension(more, critical=critical)
        file = self.folder / (path or f"crl-{number}.pem")
        file.write_bytes(builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM))
        return file

    def device(self, name: str, broker_ca: Path) -> Credentials:
        """A device of this CA, which knows a broker by the CA in ``broker_ca``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, self, key, -timedelta(hours=1), 365)
        if self.key_id:
            key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(key_id, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        certificate, folder = builder.sign(self.key, SHA256()), self.folder / name
        folder.mkdir()
        (folder / "device.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "device.key").write_bytes(plain)
        (folder / "ca.crt").write_bytes(broker_ca.read_bytes())
        return Credentials(name, folder / "ca.crt", folder / "device.crt", folder / "device.key")


_USAGES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip
