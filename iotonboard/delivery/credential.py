"""What a device needs to prove who it is: the input of bundles and of every export format.

Nothing here needs cryptography, so text formats cost no start-up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.errors import PolicyError
from iotonboard.ids import folder_name
from iotonboard.pki.pem import pem_encode

if TYPE_CHECKING:
    from iotonboard.model import DeviceId, SerialNumber, Validity


@dataclass(frozen=True, slots=True)
class Credential:
    """One certificate of one device, with its key when the key was made on the workstation.

    ``key_der`` is unencrypted PKCS#8 (RFC 5958), or None when the key never left the device.
    ``chain`` holds the issuers' certificates, the leaf's issuer first and its trust anchor last.
    ``anchors`` is what the device trusts when that is more than the end of the chain: the CA of the brokers'
    certificates first, then the one that takes its place.
    ``attributes`` are the device's own values, which ``esp-nvs`` carries.
    ``publish_topics`` and ``subscribe_topics`` are MQTT topics for formats that configure a client.
    ``repr`` shows neither the key nor the certificates.

    Raises:
        PolicyError: the chain is empty.
    """

    device_id: DeviceId
    serial: SerialNumber
    validity: Validity
    certificate_der: bytes = field(repr=False)
    key_der: bytes | None = field(repr=False)
    chain: tuple[bytes, ...] = field(repr=False)
    publish_topics: tuple[str, ...] = ()
    subscribe_topics: tuple[str, ...] = ()
    anchors: tuple[bytes, ...] = field(default=(), repr=False)
    attributes: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.chain:
            raise PolicyError(f"the credential of {str(self.device_id)!r} names no issuer")

    @property
    def file_name(self) -> str:
        """What the names of its files begin with."""
        return folder_name(self.device_id)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the device certificate's DER, lower-case hexadecimal."""
        return sha256(self.certificate_der).hexdigest()

    @property
    def anchor_ders(self) -> tuple[bytes, ...]:
        """The certificates that the device trusts; more than one while a CA takes another one's place."""
        return self.anchors or self.chain[-1:]

    @property
    def anchor_fingerprint(self) -> str:
        """SHA-256 of the DER of the CA that the device's certificate leads to, lower-case hexadecimal."""
        return sha256(self.chain[-1]).hexdigest()

    @property
    def sent_chain_der(self) -> tuple[bytes, ...]:
        """What a TLS client sends: its certificate, then the issuers below the anchor (RFC 8446 4.4.2)."""
        return (self.certificate_der, *self.chain[:-1])

    @property
    def certificate_pem(self) -> bytes:
        """``sent_chain_der`` as PEM: one certificate when the anchor itself signed it."""
        return b"".join(pem_encode("CERTIFICATE", der) for der in self.sent_chain_der)

    @property
    def anchor_pem(self) -> bytes:
        """The trust anchors as PEM."""
        return b"".join(pem_encode("CERTIFICATE", der) for der in self.anchor_ders)

    @property
    def key_pem(self) -> bytes | None:
        """The key as unencrypted PKCS#8 PEM (RFC 7468 10), or None when the device made it."""
        return None if self.key_der is None else pem_encode("PRIVATE KEY", self.key_der)
