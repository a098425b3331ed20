"""What a broker may meet in certificates, chains and lists: for each situation the files, the device and its fate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from support.strange import Made


@dataclass(frozen=True)
class Situation:
    """What goes into cafile and crlfile, the device with the chain that it sends, and the cause of what it meets.

    An empty cause is a device that gets in. With a delta CRL it depends on the OpenSSL below the broker.
    """

    device: Made
    cause: str
    cas: tuple[Made | bytes, ...]
    crls: tuple[bytes, ...]
    chain: tuple[Made, ...] = ()

    @property
    def ca_pem(self) -> bytes:
        return b"".join(one if isinstance(one, bytes) else one.pem for one in self.cas)

    @property
    def crl_pem(self) -> bytes:
        return b"".join(self.crls)

    @property
    def client_pem(self) -> bytes:
        return b"".join(one.pem for one in (self.device, *self.chain))


# Makes a situation from its title.
Making: TypeAlias = Callable[[str], Situation]
