"""What a signed file begins with: a label, one line of canonical JSON, and one line of signature and certificates."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from iotonboard.errors import PolicyError
from iotonboard.pki.signatures import sign_statement
from iotonboard.pki.verifying import statement_holds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.pki.signatures import Signer


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, the signature, and the certificates (DER) beside it: the signer's, and those above."""

    statement: bytes
    signature: bytes
    certificates: tuple[bytes, ...]

    @property
    def digest(self) -> str:
        """What names it: SHA-256 of what was signed, lower-case hex."""
        return sha256(self.statement).hexdigest()

    @property
    def said(self) -> Any:
        """The values of the line of JSON; ``ValueError``: it is none."""
        return json.loads(self.statement.split(b"\n", 2)[1])

    def holds(self, certificate_der: bytes) -> bool:
        """Say whether the holder of a certificate signed it."""
        return statement_holds(certificate_der, self.statement, self.signature)

    def lines(self) -> bytes:
        """The three lines of the file."""
        words = map(base64.b64encode, (self.signature, *self.certificates))
        return self.statement + b" ".join(words) + b"\n"


def statement_of(label: bytes, values: Mapping[str, object]) -> bytes:
    """What is signed: the label, and one line of canonical JSON: sorted keys, no blanks, ASCII."""
    return label + json.dumps(values, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def sign(statement: bytes, signer: Signer, certificates: tuple[bytes, ...]) -> Signed:
    """Sign it. ``certificates`` (DER): the signer's, and those above."""
    return Signed(statement, sign_statement(signer, statement), certificates)


def split(octets: bytes, label: bytes, what: str, hint: str, *, largest: int) -> tuple[Signed, int] | None:
    """The signed lines at the beginning of a file, and where they end; ``None`` as long as they are not whole.

    ``what`` the file should be, such as "journal", and ``hint`` what to do where it is none, are for the messages.
    ``largest``: octets that the lines may have.

    Raises:
        PolicyError: the file is something else, or of a newer version.
    """
    if not label.startswith(octets[: len(label)]):
        if octets.startswith(label[: label.rindex(b" v")]):
            raise PolicyError(f"a newer version wrote this {what}", hint="update the program here")
        raise PolicyError(f"this is no {what}", hint=hint)
    lines = octets.split(b"\n", 3)
    if len(lines) < 4:
        if len(octets) > largest:
            raise PolicyError(f"this is no {what}: its head has no end", hint=hint)
        return None
    try:
        signature, *certificates = (base64.b64decode(word, validate=True) for word in lines[2].split(b" "))
    except (binascii.Error, ValueError) as error:
        raise PolicyError(f"the signature of the {what} cannot be read", hint=hint) from error
    signed = Signed(lines[0] + b"\n" + lines[1] + b"\n", signature, tuple(certificates))
    return signed, len(octets) - len(lines[3])
