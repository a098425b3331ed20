"""The credential bundle as an export format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotonboard.delivery.bundle import build_bundle
from iotonboard.delivery.formats.output import Options, OutputFile

if TYPE_CHECKING:
    from iotonboard.delivery.credential import Credential


def encode(credential: Credential, options: Options) -> tuple[OutputFile, ...]:
    """Build the bundle that ``register`` writes, under ``options.password``.

    Raises:
        PolicyError: the password is not printable ASCII text.
    """
    return (OutputFile(f"{credential.file_name}.zip", build_bundle(credential, options.password or "")),)
