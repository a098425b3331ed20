"""What another program left of its devices: its index, certificates in files and folders, and CRLs; each read once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotonboard.disk.reading import read_file
from iotonboard.errors import PolicyError
from iotonboard.pki.adopted_certificate import AdoptedCertificate, load_cas, read_adopted
from iotonboard.pki.crl import foreign_crl_facts
from iotonboard.pki.given import certificates_in, crls_in
from iotonboard.pki.openssl_index import parse_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from iotonboard.pki.crl import CrlFacts
    from iotonboard.pki.openssl_index import IndexRow

_MAX_INDEX, _MAX_FILE, _MAX_CRL = 1 << 28, 1 << 22, 1 << 30
_ENDINGS = (".pem", ".crt", ".cer", ".cert", ".der")
# Where openssl and easy-rsa keep certificates beside their index.
_BESIDE_INDEX = (
    "certs_by_serial", os.path.join("revoked", "certs_by_serial"), os.path.join("renewed", "certs_by_serial"),
    "newcerts", "issued",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """Files and folders as somebody named them; empty where nothing was."""

    index: str
    certificates: tuple[str, ...]
    crls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GivenList:
    """A CRL of a CA of this state, named by its row; its number is 0 where it has none."""

    issuer: int
    der: bytes
    facts: CrlFacts


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that was found. ``certificates`` are distinct, with where each was found first.

    ``problems``: files that hold what should be a certificate or a list and is none. ``last_number``: of the CRL that
    was signed last, as ``openssl ca`` keeps it beside its index; 0 where it does not.
    """

    index: tuple[IndexRow, ...]
    certificates: tuple[tuple[AdoptedCertificate, str], ...]
    lists: tuple[GivenList, ...]
    problems: tuple[str, ...]
    last_number: int


def read_sources(names: Names, cas: Mapping[int, bytes]) -> Sources:
    """Read all that was named; ``cas``: certificates of the CAs of this state, by their rows.

    Raises:
        NotFoundError: a file or folder is not there.
        PolicyError: the index is none, a folder that was named has no files of certificates, or a file no CRL.
    """
    index = _read_index(names.index) if names.index else ()
    problems: list[str] = []
    loaded, own = load_cas(cas), set(cas.values())
    found: dict[bytes, tuple[AdoptedCertificate, str]] = {}
    for path, is_named in _files(names):
        try:
            for der in _certificates(path, is_named=is_named):
                if der not in found and der not in own:
                    found[der] = read_adopted(der, loaded), path
        except PolicyError as error:
            problems.append(f"{path!r}: {error.message}")
    lists = [one for path in names.crls for one in _read_lists(path, cas, problems)]
    return Sources(tuple(index), tuple(found.values()), tuple(lists), tuple(problems), _last_number(names.index))


def _read_index(path: str) -> Sequence[IndexRow]:
    try:
        return parse_index(read_file(path, limit=_MAX_INDEX))
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error


def _last_number(index: str) -> int:
    """``crlnumber`` has the number of the next list, in hexadecimal (openssl-ca(1))."""
    path = os.path.join(os.path.dirname(index), "crlnumber")
    if not index or not os.path.isfile(path):
        return 0
    digits = read_file(path, limit=_MAX_FILE).strip()
    return max(int(digits, 16) - 1, 0) if re.fullmatch(rb"[0-9A-Fa-f]{1,38}", digits) else 0


def _files(names: Names) -> Iterator[tuple[str, bool]]:
    """Every file to look into, and whether it was named itself."""
    places = names.certificates
    if not places and names.index:
        beside = (os.path.join(os.path.dirname(names.index), name) for name in _BESIDE_INDEX)
        places = tuple(filter(os.path.isdir, beside))
    for place in places:
        if os.path.isdir(place):
            found = list(_below(place))
            if names.certificates and not found:
                raise PolicyError(
                    f"there is no certificate in {place!r}",
                    hint=f"names of their files end with {', '.join(_ENDINGS)}; others are named themselves",
                )
            yield from ((path, False) for path in found)
        else:
            yield place, True


def _below(folder: str) -> Iterator[str]:
    for root, folders, files in os.walk(folder):
        folders.sort()
        yield from (os.path.join(root, name) for name in sorted(files) if name.lower().endswith(_ENDINGS))


def _certificates(path: str, *, is_named: bool) -> Sequence[bytes]:
    content = read_file(path, limit=_MAX_INDEX if is_named else _MAX_FILE)
    if not is_named and b"-----BEGIN" in content and b"CERTIFICATE-----" not in content:
        return ()  # a key, as people keep it beside
    return certificates_in(content)


def _read_lists(path: str, cas: Mapping[int, bytes], problems: list[str]) -> Iterator[GivenList]:
    try:
        ders = crls_in(read_file(path, limit=_MAX_CRL))
    except PolicyError as error:
        raise PolicyError(f"{path!r}: {error.message}", hint=error.hint) from error
    for der in ders:
        found = next(((row, facts) for row, ca in cas.items() if (facts := _facts(der, ca))), None)
        if found is None:
            problems.append(f"{path!r}: a CRL in it was not signed by this CA")
        else:
            yield GivenList(found[0], der, found[1])


def _facts(der: bytes, ca: bytes) -> CrlFacts | None:
    try:
        return foreign_crl_facts(der, ca)
    except PolicyError:
        return None
