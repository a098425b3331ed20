"""The verbs ``ca request``, ``ca sign``, ``ca install`` and ``ca revoke``: a root, and the stations below it."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_reason
from iotonboard.cli.options import ReloadOption, YesOption, parse_reason
from iotonboard.cli.person import answer_exactly, is_at_a_terminal
from iotonboard.cli.session import Session, verb
from iotonboard.cli.targets import reload_next
from iotonboard.errors import UnpublishedError, UsageError
from iotonboard.model import rfc3339

if TYPE_CHECKING:
    from iotonboard.ca.certifying import Proposal
    from iotonboard.commands.ca_install import Result as Installed
    from iotonboard.commands.ca_sign import Result as Signed

OutOption = Annotated[str, typer.Option("--out", metavar="FILE", help="Where it is written.")]
_WIDTH = 100


def add_verbs(app: typer.Typer) -> None:
    """Put the verbs below ``ca``."""
    verb(app, "request", example="iotonboard ca request --out /media/usb/station7.csr")(request)
    verb(app, "sign", example="iotonboard ca sign station7.csr --out station7.answer --validity-days 1825")(sign)
    verb(app, "install", example="iotonboard ca install /media/usb/station7.answer")(install)
    verb(app, "revoke", example="iotonboard ca revoke 'Station 7' --reason keyCompromise")(revoke)


def request(session: Session, out: OutOption) -> int | None:
    """Write a request for a root, of this CA's key and name. The state works on while the answer is under way.

    Read the words to whoever holds the root: they say that both have the same request.
    """
    from iotonboard.commands.ca_request import request_certificate

    with session.open_state() as state:
        result = request_certificate(state, out, session.unlocker(state))
    made = result.request
    values = {
        "path": result.path,
        "name": made.name,
        "request_sha256": made.digest.hex(),
        "words": made.words,
        "last_answer": made.after or None,
    }
    session.result(values, f"{result.path}\t{made.name}\tSHA-256 {made.digest.hex()}\t{made.words}")
    session.message("next: at the root, iotonboard ca sign FILE --out FILE; it shows the same words")
    return None


def sign(
    session: Session,
    out: OutOption,
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="The request of a station.")] = "",
    validity_days: Annotated[
        int | None,
        typer.Option(
            "--validity-days", min=1, max=36500, help="Life, in days.", show_default="1825, or what is left of the root"
        ),
    ] = None,
    permit_subject: Annotated[
        list[str] | None,
        typer.Option(
            "--permit-subject", metavar="NAME", help="Certify subjects that begin so alone: 'O=Works, OU=Line 4'."
        ),
    ] = None,
    any_subject: Annotated[bool, typer.Option("--any-subject", help="Take an earlier limit of names away.")] = False,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="HEX|WORDS", help="The request's digest, as the station has it.")
    ] = None,
    again: Annotated[
        str | None, typer.Option("--again", metavar="STATION", help="Write its last answer once more.")
    ] = None,
    yes: YesOption = False,
) -> int | None:
    """Certify the CA of a station, at a root. What will be signed is shown first, with the digest in words.

    On a terminal the last of the words is asked for, as the station reads it out. A sheet for the record on paper is
    written beside the answer.
    """
    from iotonboard.commands import ca_sign as command

    if bool(file) == bool(again):
        raise UsageError("name a request, or a station with --again", hint="iotonboard ca sign FILE --out FILE")
    if again and (validity_days or permit_subject or any_subject or digest):
        raise UsageError("--again writes an answer as it was", hint="leave out what says how it shall be")
    if permit_subject and any_subject:
        raise UsageError("--permit-subject and --any-subject exclude each other", hint="choose one of them")
    limits = command.limits_of(validity_days, permit_subject, any_subject=any_subject)
    with session.open_state() as state:
        if again:
            result = command.answer_again(state, again, out)
        else:
            ask = partial(_confirm, session, yes or digest is not None)
            unlock = session.unlocker(state)
            result = command.sign(state, file, out, limits, unlock, digest=digest, confirm=ask)
    _tell_signed(session, result)
    return None


def _confirm(session: Session, is_answered: bool, proposal: Proposal) -> None:
    is_asked = not (is_answered or session.json) and is_at_a_terminal()
    for line in _lines(proposal):
        (output.write_message if is_asked else session.message)(f"iotonboard: {line}" if is_asked else line)
    if not is_asked:
        return
    answer_exactly("Sign it? Type the last of these words, as the station reads it out:", proposal.words.split()[-1])


def _lines(proposal: Proposal) -> list[str]:
    """What will be signed, for the eye."""
    request, before = proposal.request, proposal.before
    since = f"known since {rfc3339(before.signed_at)}" if before else "not known here before"
    answer = f"after the answer {request.after[:16]}" if request.after else "no answer before"
    lines = [
        f"will sign the CA {request.name!r}, {since}",
        f"key: {request.key_type}, SHA-256 {request.spki_sha256.hex()}",
        f"request: SHA-256 {request.digest.hex()}, {answer}",
        f"valid: {rfc3339(proposal.validity.not_before)} to {rfc3339(proposal.validity.not_after)}",
        f"path length: 0; subjects that begin with: {'; or '.join(proposal.permitted_texts) or 'anything'}",
        *textwrap.wrap(f"words: {proposal.words}", _WIDTH),
    ]
    if proposal.unknown_answer:
        lines.append("warning: the request names an answer of another root, or of a later state of this one")
    if proposal.permitted_texts:
        lines.append(
            "warning: programs with mbedTLS, and those in Go, refuse a chain with a limit of names: none of their"
            " devices finds its broker"
        )
    return lines


def _tell_signed(session: Session, result: Signed) -> None:
    one = result.certificate
    values = {
        "path": result.path,
        "record": result.sheet,
        "name": one.name,
        "serial": one.serial.hex,
        "not_before": rfc3339(one.validity.not_before),
        "not_after": rfc3339(one.validity.not_after),
        "fingerprint": result.fingerprint,
        "request_sha256": one.request.hex(),
        "root_fingerprint": result.root_fingerprint,
        "signed": result.is_new,
    }
    what = "signed" if result.is_new else "was signed before"
    ends = rfc3339(one.validity.not_after)
    session.result(values, f"{one.name}\t{what}\tserial {one.serial.hex}\tvalid until {ends}\t{result.path}")
    session.message(f"next: print {result.sheet!r}, sign it, and keep it; the root is {result.root_fingerprint}")
    session.message("then, at the station: iotonboard ca install FILE; here: iotonboard backup")


def install(
    session: Session,
    file: Annotated[str, typer.Argument(metavar="FILE", help="What 'ca sign' wrote, or the root's newest list.")],
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", metavar="HEX", help="SHA-256 of the root, from the record sheet.")
    ] = None,
    reload: ReloadOption = False,
) -> int | None:
    """Go out below a root from now on, or take its newer list. Key and name stay: what was issued stays valid.

    The root's fingerprint is asked for where it is a new one; a script names it.
    """
    from iotonboard.commands.ca_install import install as install_answer

    with session.open_state() as state:
        result = install_answer(
            state,
            file,
            session.unlocker(state),
            fingerprint=fingerprint,
            confirm_root=partial(_confirm_root, session),
            reload=session.reloader(state, wanted=reload),
        )
    _tell_installed(session, result, "" if reload else reload_next(state))
    return None


def _confirm_root(session: Session, name: str, fingerprint: str) -> None:
    if session.json or not is_at_a_terminal():
        raise UsageError(
            f"the root {name!r} is a new one, and nothing says whose it is",
            hint="compare its fingerprint with the record sheet, and name it: --fingerprint HEX",
        )
    output.write_message(f"iotonboard: the root is {name!r}, SHA-256:")
    for line in textwrap.wrap(" ".join(fingerprint[begin : begin + 8] for begin in range(0, 64, 8)), _WIDTH):
        output.write_message(f"iotonboard: {line}")
    answer_exactly("Does the record sheet say the same? Type its last eight digits:", fingerprint[-8:])


def _tell_installed(session: Session, result: Installed, step: str) -> None:
    plan = result.plan
    status = "installed" if plan.chain else "list-taken" if plan.crls else "unchanged"
    values = {
        "status": status,
        "root": plan.root.short_name,
        "root_fingerprint": plan.root.fingerprint,
        "crls": [
            {"root_fingerprint": one.root, "crl_number": one.number, "next_update": rfc3339(one.next_update)}
            for one in plan.crls
        ],
        "revoked": list(plan.revoked),
        "warnings": list(plan.warnings),
    }
    lists = [f"CRL {one.number} until {rfc3339(one.next_update)}" for one in plan.crls]
    text = "\t".join((status, plan.root.short_name, f"SHA-256 {plan.root.fingerprint}", *lists))
    session.result(values, text, unpublished=result.unpublished)
    for warning in plan.warnings:
        session.message(f"warning: {warning}")
    if plan.revoked:
        session.message(
            "warning: the root has revoked this CA: 'iotonboard help root' says what a stolen station needs"
        )
    if result.unpublished:
        raise UnpublishedError(result.unpublished, reload=not step)
    if plan.chain and plan.was_out:
        session.message(
            "what still trusts the certificate that this CA signed itself (brokers and devices that were not updated)"
            " ignores what the root revokes; 'iotonboard ca status' counts them"
        )
    if plan.chain and step:
        session.message(f"{step}; elsewhere: iotonboard pack, before any new bundle gets there")


def revoke(
    session: Session,
    name: Annotated[
        str, typer.Argument(metavar="STATION", help="Its CA's name, or the beginning of its key's SHA-256.")
    ],
    reason: Annotated[
        str, typer.Option("--reason", metavar="REASON", help="Why.", autocompletion=complete_reason)
    ] = "unspecified",
    yes: YesOption = False,
) -> int | None:
    """Take the CA of a station back, at a root: every certificate of it goes on the root's list.

    That list alone shuts no device out: what each broker needs is said.
    """
    from iotonboard.commands.ca_revoke import revoke_name

    why = parse_reason(reason)
    with session.open_state(is_urgent=True) as state:
        session.confirm(f"Take the CA {name!r} back, for {why.value}? It is never taken back itself.", yes=yes)
        result, unpublished = revoke_name(state, name, why, session.unlocker(state))
        path = state.paths.crl
    values = {
        "name": result.name,
        "spki_sha256": result.spki_sha256.hex(),
        "serials": [one.serial.hex for one in result.certificates],
        "fingerprints": result.fingerprints,
        "reason": result.reason.value,
        "revocation_date": rfc3339(result.revoked_at),
        "crl_number": result.crl_number,
        "next": result.steps(path),
    }
    text = f"{result.name}\t{len(result.changed)} certificate(s) revoked\tCRL {result.crl_number or 'not signed yet'}"
    session.result(values, text, unpublished=unpublished)
    for step in result.steps(path):
        session.message(f"next: {step}")
    if unpublished:
        raise UnpublishedError(unpublished)
    return None
