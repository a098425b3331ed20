"""The fixed credential of tests/vectors/credential, in its variants."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from iotonboard.delivery.credential import Credential
from iotonboard.model import DeviceId, SerialNumber, Validity
from iotonboard.pki.pem import pem_decode_all

VECTORS = Path(__file__).parents[1] / "vectors"
_FOLDER = VECTORS / "credential"
_VALIDITY = Validity(datetime(2026, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC))


def certificate_der(name: str) -> bytes:
    return pem_decode_all("CERTIFICATE", (_FOLDER / f"{name}.crt").read_bytes())[0]


def key_der(name: str) -> bytes:
    return pem_decode_all("PRIVATE KEY", (_FOLDER / f"{name}.key").read_bytes())[0]


def make_credential(
    *, with_key: bool = True, with_factory: bool = False, device_id: str = "sensor-0.1_A"
) -> Credential:
    """The device's credential: signed by the root, or through the intermediate issuer."""
    root = certificate_der("root")
    return Credential(
        device_id=DeviceId(device_id),
        serial=SerialNumber(0x0C0FFEE0000000000000000000000000000000FE + (not with_factory)),
        validity=_VALIDITY,
        certificate_der=certificate_der("device-of-factory" if with_factory else "device"),
        key_der=key_der("device") if with_key else None,
        chain=(certificate_der("factory"), root) if with_factory else (root,),
    )
