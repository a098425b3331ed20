"""``ca sign``: a root certifies a CA.

1. Read the request, and judge it against all that was certified before (``ca/certifying.py``).
2. Show what will be signed; a person compares the words of the request's digest, and answers.
3. Unlock the root. In one transaction: judge again, sign, record.
4. Write the answer, and beside it a sheet for the record on paper.

A request that was answered already gets the same answer: so an interrupted call is finished by the same command.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from iotonboard.ca.answer_to_station import read_answer, render_answer
from iotonboard.ca.authority import refuse_changed, seal_audit
from iotonboard.ca.certifying import Limits, certify, chain_of_station, find_station, propose
from iotonboard.ca.record_sheet import Record, render_sheet
from iotonboard.disk.files import PUBLIC, write_atomic
from iotonboard.disk.reading import read_file
from iotonboard.disk.walking import refuse_no_folder_of
from iotonboard.errors import ConflictError, IotOnboardError, PolicyError
from iotonboard.pki.ca_request import read_ca_request, spoken
from iotonboard.pki.csr import MAX_CSR_OCTETS
from iotonboard.pki.profiles import parse_name
from iotonboard.store.crls import crl_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from iotonboard.ca.authority import Unlock
    from iotonboard.ca.certifying import Proposal
    from iotonboard.state.state import State
    from iotonboard.store.stations import StationCertificate

SHEET = ".record.txt"
_LARGEST_ANSWER = 1 << 26


@dataclass(frozen=True, slots=True)
class Result:
    """The answer and where it lies, with the sheet. ``is_new``: it was signed now, and not written once more."""

    path: str
    sheet: str
    certificate: StationCertificate
    chain: tuple[bytes, ...]
    is_new: bool

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, lower-case hex."""
        return sha256(self.certificate.der).hexdigest()

    @property
    def root_fingerprint(self) -> str:
        """SHA-256 of the root's certificate, lower-case hex."""
        return sha256(self.chain[-1]).hexdigest()


def limits_of(validity_days: int | None, permitted: Sequence[str] | None, *, any_subject: bool) -> Limits:
    """What was asked for, read.

    Raises:
        PolicyError: a name is none.
    """
    names = tuple(parse_name(text) for text in permitted or ())
    return Limits(validity_days, names if names or any_subject else None)


def sign(
    state: State,
    request_path: str,
    out: str,
    limits: Limits,
    unlock: Unlock,
    *,
    digest: str | None,
    confirm: Callable[[Proposal], None],
) -> Result:
    """Certify the CA of a request, and write the answer to ``out``.

    ``digest``: what its digest must be, in hex or in words. ``confirm`` is shown what will be signed; what it raises
    ends the call.

    Raises:
        NotFoundError: there is no request, or no folder for the answer.
        PolicyError: it is none, its digest is another one, or it asks for what is not given; see ``propose``.
        ConflictError: see ``propose``; or something else lies where the answer goes.
        KeyUnavailableError: the root's key is missing, or the passphrase does not open it.
        BusyError: the state is locked or the disk refuses: the same command again writes the answer.
    """
    content = read_file(request_path, limit=MAX_CSR_OCTETS)
    try:
        request = read_ca_request(content)
    except PolicyError as error:
        raise PolicyError(f"{request_path!r}: {error.message}", hint=error.hint) from error
    if digest is not None:
        _check_digest(digest, request.digest)
    proposal = propose(state, request, limits, state.clock())
    _refuse_other(out, proposal.again)
    if proposal.again is not None:
        return _write(state, out, proposal.again, is_new=False)
    confirm(proposal)
    authority = unlock()
    with state.transaction(signing=True) as now:
        refuse_changed(state, authority)
        proposal = propose(state, request, limits, now)
        signed = proposal.again or certify(state, authority, proposal, now)
        seal_audit(state, authority)
    return _write(state, out, signed, is_new=True)


def answer_again(state: State, name: str, out: str) -> Result:
    """Write the last answer to a station once more, with the newest list: it got lost on its way.

    Raises:
        NotFoundError: see ``find_station``.
        PolicyError: it was revoked, or its root is retired.
        ConflictError: something else lies where the answer goes.
        BusyError: the disk refuses.
    """
    found = find_station(state, name)[-1]
    if found.reason is not None:
        raise PolicyError(f"{found.name!r} was revoked", hint="'iotonboard ca status' shows when, and why")
    _refuse_other(out, found)
    return _write(state, out, found, is_new=False)


def _check_digest(given: str, digest: bytes) -> None:
    said = " ".join(given.lower().replace(":", "").split())
    if said != (digest.hex() if re.fullmatch(r"[0-9a-f]+", said) else spoken(digest)):
        raise PolicyError(
            "the request's digest is another one",
            hint=f"it is {digest.hex()}, in words: {spoken(digest)}; ask the station what it wrote",
        )


def _refuse_other(path: str, answered: StationCertificate | None) -> None:
    """Refuse to write over what is not this very answer, or where there is no folder."""
    refuse_no_folder_of(path)
    if not os.path.lexists(path):
        return
    try:
        is_same = (
            answered is not None and answered.der in read_answer(read_file(path, limit=_LARGEST_ANSWER)).certificates
        )
    except IotOnboardError:
        is_same = False
    if not is_same:
        raise ConflictError(f"{path!r} exists already", hint="choose another name for the answer")


def _write(state: State, out: str, signed: StationCertificate, *, is_new: bool) -> Result:
    chain = chain_of_station(state, signed)
    lists = [one for one in crl_generation(state.store) if one.issuer == signed.issuer]
    begun = [one for one in lists if one.this_update <= state.clock()]  # of a calendar
    crl = max(begun or lists, key=lambda one: one.number, default=None)
    write_atomic(out, render_answer(chain, (crl.der if crl else None) or b""), PUBLIC)
    sheet = f"{out}{SHEET}"
    record = Record(signed, chain, crl.number if crl else 0, state.caller, os.path.basename(out))
    write_atomic(sheet, render_sheet(record).encode("utf-8"), PUBLIC)
    return Result(out, sheet, signed, chain, is_new)
