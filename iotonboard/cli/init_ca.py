"""The verb ``init-ca``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.limits import tell_32_bits
from iotonboard.cli.new_secrets import FirstSecret
from iotonboard.cli.options import WeakOption
from iotonboard.cli.session import Session, clock, verb
from iotonboard.cli.token_options import (
    GenerateOption,
    KeyOption,
    PrintRecoveryOption,
    RecoveryFileOption,
    RecoveryKeyFileOption,
    RecoveryWays,
    parse_key,
)
from iotonboard.errors import UsageError
from iotonboard.model import KeyType, parse_moment, rfc3339

if TYPE_CHECKING:
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.commands.init_ca import Result

app = typer.Typer()
_VALIDITY_DAYS = 3650
_NEXT = {
    "alone": "next: iotonboard broker issue HOST, then iotonboard register ID, with the broker's name for HOST, such as"
    " broker.plant4.local, and a device's for ID, such as press-17",
    "root": "next: iotonboard ca sign FILE --out FILE, for the request of each station; 'iotonboard help root' has the"
    " run-books",
    "below-root": "next: iotonboard ca request --out FILE; nothing is certified before 'iotonboard ca install FILE'",
}


@verb(
    app,
    "init-ca",
    example="iotonboard init-ca --common-name 'Plant 4 CA' --generate-key-file /media/key/ca.pass",
)
def init_ca(
    session: Session,
    common_name: Annotated[
        str | None, typer.Option("--common-name", help="The CA's name; default: one that no other CA has.")
    ] = None,
    organization: Annotated[str | None, typer.Option("--organization", help="The CA's organization.")] = None,
    key_type: Annotated[
        KeyType | None, typer.Option("--key-type", help="The CA's key type.", show_default=KeyType.EC_P256.value)
    ] = None,
    key: KeyOption = None,
    generate: GenerateOption = False,
    validity_days: Annotated[
        int | None,
        typer.Option(
            "--validity-days", min=1, max=36500, help="Life of the CA, in days.", show_default=str(_VALIDITY_DAYS)
        ),
    ] = None,
    generate_key_file: Annotated[
        str | None,
        typer.Option("--generate-key-file", metavar="FILE", help="Make a random passphrase file there and use it."),
    ] = None,
    no_passphrase: Annotated[
        bool,
        typer.Option("--no-passphrase", help="Leave the CA key unencrypted. Whoever copies it owns every device."),
    ] = False,
    recovery_passphrase_file: RecoveryFileOption = None,
    generate_recovery_file: RecoveryKeyFileOption = None,
    print_recovery_passphrase: PrintRecoveryOption = False,
    root: Annotated[bool, typer.Option("--root", help="Make a root, which certifies CAs and no devices.")] = False,
    below_root: Annotated[
        bool, typer.Option("--below-root", help="Make a CA of which nothing goes out before a root has certified it.")
    ] = False,
    weak: WeakOption = False,
    not_before: Annotated[
        str | None, typer.Option("--not-before", metavar="DAY", help="When the CA begins, such as 1970-01-01.")
    ] = None,
    import_key: Annotated[
        str,
        typer.Option("--import-key", metavar="FILE", help="Take over a CA that is there: its key, or PKCS #12 file."),
    ] = "",
    import_cert: Annotated[str, typer.Option("--import-cert", metavar="FILE", help="The certificate of that CA.")] = "",
    chain: Annotated[
        str, typer.Option("--chain", metavar="FILE", help="What stands above that CA, up to the root.")
    ] = "",
    import_passphrase_file: Annotated[
        str | None,
        typer.Option("--import-passphrase-file", metavar="FILE", help="The passphrase of the key that is taken over."),
    ] = None,
) -> int | None:
    """Make a state directory: CA key and certificate, database, empty CRL and empty ACL.

    An existing state is never touched. An interrupted call is finished by running it again.
    With --import-key the CA of openssl, easy-rsa, XCA or cfssl goes on here: see 'iotonboard help take-over'.
    """
    from iotonboard.commands import init_ca as command

    if given := _given(import_key, import_cert, chain, import_passphrase_file):
        _refuse_made(session, import_passphrase_file, common_name, organization, key_type, validity_days, not_before)
    token = parse_key(key, key_type, generate=generate)
    if token is not None and given:
        raise UsageError("a key of another program is not put into a token", hint="leave --key or --import-key out")
    secret = FirstSecret(session, generate_key_file, no_passphrase, weak, token)
    secret.check()
    recovery = RecoveryWays(session, recovery_passphrase_file, generate_recovery_file, print_recovery_passphrase, weak)
    recovery.check(is_wanted=token is not None)

    kind = command.CaKind(_kind(root=root, below_root=below_root, is_given=given is not None))

    def passphrase(is_resumed: bool) -> Passphrase | None:
        whose = " for the CA that is taken over" if given else f" for {common_name!r}" if common_name else ""
        return secret.find(f"{whose} in {os.path.abspath(session.root)!r}", is_resumed=is_resumed)

    def import_passphrase(path: str) -> Passphrase:
        from iotonboard.cli.passphrases import find_passphrase_of

        return find_passphrase_of(path, import_passphrase_file, tell_if_open=session.tell_if_open)

    begin = parse_moment(not_before) if not_before is not None else None
    made_type = (key_type or KeyType.EC_P256) if token is None or generate else None
    made = common_name, organization, made_type, validity_days or _VALIDITY_DAYS, begin
    files = command.Files(*given, import_passphrase) if given else None
    request = command.Request(*made, passphrase, files, token, recovery.ask() if token else None, kind)
    session.work_as_owner()
    result = command.init_ca(session.root, session.environment, session.caller, clock, request)
    _tell(session, result, recovery, is_taken_over=bool(given))
    if no_passphrase:
        session.message("warning: the CA key is not encrypted; 'iotonboard ca passwd' gives it a passphrase")
    if not_before is not None:
        session.message(
            f"next: iotonboard config set not_before {not_before}, for brokers and devices that begin there"
        )
    made_it = "took over the CA" if given else "made the root" if root else "made the CA"
    session.message(f"{made_it} {result.name!r} in {result.state!r}")
    secret.tell()
    if token is not None:
        recovery.tell()
    _tell_next(session, kind.value, is_taken_over=bool(given))
    return None


def _kind(*, root: bool, below_root: bool, is_given: bool) -> str:
    """What is to be made.

    Raises:
        UsageError: several things at once.
    """
    if root + below_root + is_given > 1:
        raise UsageError("--root, --below-root and --import-key exclude each other", hint="choose one of them")
    return "root" if root else "below-root" if below_root else "alone"


def _given(key: str, certificate: str, chain: str, passphrase_file: str | None) -> tuple[str, str, str] | None:
    """The files of a CA that is to be taken over; ``None``: a CA is made.

    Raises:
        UsageError: its key is missing among them.
    """
    if key:
        return key, certificate, chain
    without = {"--import-cert": certificate, "--chain": chain, "--import-passphrase-file": passphrase_file}
    if named := next((name for name, value in without.items() if value), None):
        raise UsageError(f"{named} goes with --import-key", hint="name the file of the CA's key too")
    return None


def _refuse_made(session: Session, passphrase_file: str | None, *made: object) -> None:
    """Refuse what says how a CA is ``made`` where one is taken over.

    Raises:
        UsageError: some of it was said, or both passphrases would come from stdin.
    """
    if any(value is not None for value in made):
        raise UsageError(
            "a CA that is taken over is as it is",
            hint="leave out --common-name, --organization, --key-type, --validity-days and --not-before",
        )
    if passphrase_file == session.passphrase_file == "-":
        raise UsageError("two passphrases cannot both come from stdin", hint="put one of them into a file")


def _tell(session: Session, result: Result, recovery: RecoveryWays, *, is_taken_over: bool) -> None:
    values = {
        "state": result.state,
        "name": result.name,
        "ca_fingerprint": result.ca_fingerprint,
        "not_after": rfc3339(result.not_after),
        "crl_number": result.crl_number,
        **recovery.values(),
    }
    findings = [{"rule": one.rule, "what": one.what, "meaning": one.meaning} for one in result.findings]
    facts = [("fingerprint", result.ca_fingerprint), ("valid until", rfc3339(result.not_after))]
    facts += [("recovery passphrase", one) for one in recovery.made]
    if output.is_for_people() and not session.json:
        output.write_card(f"CA {result.name}", facts)
    else:
        text = "\t".join((result.state, "CA " + "\t".join(f"{label} {value}" for label, value in facts)))
        session.result({**values, "findings": findings} if is_taken_over else values, text)
    if not is_taken_over:
        tell_32_bits(session, "the CA", result.not_after)
    for finding in result.findings:
        session.message(f"warning: {finding}")


def _tell_next(session: Session, kind: str, *, is_taken_over: bool) -> None:
    if not is_taken_over:
        session.message(_NEXT[kind])
        return
    session.message("the CRL in this state has no revocation of that CA from before: give it to no broker yet")
    session.message("next: iotonboard adopt --dry-run, with --index or --certs, and the newest --crl of a broker")
