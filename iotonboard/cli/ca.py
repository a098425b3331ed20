"""The verb ``ca``: ``status``, ``rollover``, ``replace`` and ``passwd``; ``trust`` has a page of its own."""

from __future__ import annotations

import functools
import os
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from iotonboard.cli import ca_add, ca_levels, ca_proof, ca_split, ca_token, ca_trust
from iotonboard.cli.ca_standing import print_standing
from iotonboard.cli.limits import tell_32_bits
from iotonboard.cli.new_secrets import NextSecret, changed_passphrase
from iotonboard.cli.options import (
    GenerateKeyOption,
    NewKeyTypeOption,
    NewLifeOption,
    NewNameOption,
    ReloadOption,
    WeakOption,
    YesOption,
)
from iotonboard.cli.session import Session, clock, group, verb
from iotonboard.cli.targets import reload_with
from iotonboard.cli.token_options import (
    GenerateOption,
    KeyOption,
    RecoveryFileOption,
    RecoveryKeyFileOption,
    RecoveryWays,
    parse_key,
)
from iotonboard.errors import UsageError
from iotonboard.model import parse_moment, rfc3339

if TYPE_CHECKING:
    from iotonboard.commands.ca_replace import Result as Replacement
    from iotonboard.commands.ca_rollover import Result

NewPassphraseOption = Annotated[
    str | None,
    typer.Option("--new-passphrase-file", metavar="FILE", help="File whose first line is the new passphrase."),
]


_ASK_ROOT = (
    "next: iotonboard ca request --out FILE: the new CA waits for the root; before 'iotonboard ca install FILE' nothing"
    " is certified, and nothing of it goes out"
)
_ASK_STATIONS = (
    "next: at each station iotonboard ca request, here iotonboard ca sign, there iotonboard ca install; that brings the"
    " new root to brokers, and new bundles bring it to devices"
)

app = group("ca", "The certificate authority: where it stands, its successor, its passphrase, others beside it.",
            example="iotonboard ca status")  # fmt: skip
app.add_typer(ca_trust.app, name="trust")
ca_add.add_to(app)
ca_proof.add_to(app)
ca_split.add_to(app)
ca_token.add_to(app)


@verb(app, "status", example="iotonboard ca status --json")
def status(session: Session) -> int | None:
    """Show each CA, who certified it, what hangs on it, and where a rollover stands. Needs no passphrase."""
    return _show_standing(session)


def _show_standing(session: Session) -> int | None:
    from iotonboard.commands.ca_status import ca_status

    with session.open_all() as cas:
        result = ca_status(cas)
    print_standing(session, result.status, result.cas, result)
    return None


@verb(app, "rollover", example="iotonboard ca rollover begin --passphrase-file ca.pass")
def rollover(
    session: Session,
    action: Annotated[
        Literal["begin", "cancel"] | None,
        typer.Argument(
            metavar="[begin|cancel]", help="Make the new CA, or take it away again; left out: show the standing."
        ),
    ] = None,
    name: NewNameOption = None,
    key_type: NewKeyTypeOption = None,
    validity_days: NewLifeOption = 3650,
    key: KeyOption = None,
    generate: GenerateOption = False,
    new_passphrase_file: NewPassphraseOption = None,
    generate_key_file: GenerateKeyOption = None,
    recovery_passphrase_file: RecoveryFileOption = None,
    generate_recovery_file: RecoveryKeyFileOption = None,
    weak: WeakOption = False,
    retire: Annotated[
        bool,
        typer.Option(
            "--retire", help="End the rollover: take the old CA out and erase its key, unless that lies in a token."
        ),
    ] = False,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="The same as cancel: only while the new CA certified nothing.")
    ] = False,
    yes: YesOption = False,
) -> int | None:
    """Put a new CA beside the old one. Both are trusted until --retire; new certificates are of the new one.

    The passphrase stays the same, unless --key takes the new key from a token, or the old one lay in one. Refused is
    the retirement of a CA that has valid certificates.
    """
    from iotonboard.commands import ca_rollover as command

    if sum((action == "begin", action == "cancel" or cancel, retire)) > 1:
        raise UsageError("begin, cancel and --retire exclude each other", hint="choose one of them")
    if action != "begin" and (name or key_type or key):
        raise UsageError("--name, --key-type and --key are for a new CA", hint="type: iotonboard ca rollover begin")
    if not (action or cancel or retire):
        return _show_standing(session)
    token = parse_key(key, key_type, generate=generate)
    recovery = RecoveryWays(session, recovery_passphrase_file, generate_recovery_file, shows=False, weak=weak)
    recovery.check(is_wanted=token is not None)
    with session.open_state() as state:
        if retire:
            session.confirm("Take the old CA out and erase its key? It never signs again.", yes=yes)
            result = command.retire(state, session.unlocker(state))
        elif action == "begin":
            request = command.Request(name, key_type, validity_days, token, generate)
            ask = partial(session.passphrase_of, state)
            new = NextSecret(session, new_passphrase_file, generate_key_file, weak, token)
            wanted = command.wanted(state, request)
            asked = command.Asked(new.ways(wanted.secret), recovery.ask() if wanted.recovery else None)
            result = command.begin(state, request, ask, partial(_confirm_new, session, yes), asked)
        else:
            result = command.cancel(state, session.unlocker(state))
        path, is_added = state.paths.ca_certificate, state.main is not None
    print_standing(session, result.status, result.cas, in_tokens=result.in_tokens)
    how = session.added_ca or "" if is_added else reload_with(state)
    _tell_next_step(session, result, path, how, is_added=is_added)
    return None


def _confirm_new(session: Session, yes: bool, name: str, of_root: bool) -> None:
    needs = "Every broker then needs its certificate and CRL, and every device a new certificate."
    if of_root:
        needs = "Every station then needs a new answer, and every broker and device the new root."
    session.confirm(f"Make a new CA beside {name!r}? {needs}", yes=yes)


def _tell_next_step(session: Session, result: Result, path: str, how: str, *, is_added: bool) -> None:
    """Say what comes next; ``how`` a broker is reloaded, or of an added CA its name."""
    whose = "those who connect to these devices, and to no broker" if is_added else "every broker"
    of_it = f" --ca {how}" if is_added else ""
    if result.status == "begun":
        tell_32_bits(session, "the new CA", result.cas[0].not_after)
        if not result.is_encrypted:
            session.message("warning: the CA key is not encrypted; 'iotonboard ca passwd' gives it a passphrase")
        if result.waits:
            session.message(_ASK_ROOT)
        elif result.of_root:
            session.message(_ASK_STATIONS)
        else:
            behind = "" if is_added else f", then reload it{how}"
            session.message(f"next: copy CRL and {path} to {whose}, both{behind}")
        session.message(
            f"a mistake? 'iotonboard ca rollover --cancel{of_it}' takes it back while the new CA certified nothing"
        )
        renewal = "" if result.of_root else f"; iotonboard renew --old-ca{of_it}"
        session.message(f"then: iotonboard backup, because earlier ones lack the new key{renewal}")
    elif result.status == "under-way":
        session.message(
            "a rollover is under way; nothing was made. 'iotonboard ca rollover --retire' ends it, and '--cancel' takes"
            " it back while the new CA certified nothing"
        )
    elif result.of_root:
        session.message("next: carry the new list to every station: iotonboard ca install FILE; then make a new backup")
    else:
        behind = "" if is_added else f" and reload it{how}"
        session.message(f"next: copy {path} and CRL to {whose}{behind}; then make a new backup")
    for uri in result.in_tokens:
        session.message(
            f"the key of the CA that was taken out is still in its token ({uri}): delete it with the token's own tool"
        )
    if result.secrets:
        lines = ", ".join(result.secrets)
        session.message(f"a passphrase file has from now on one line for each of these, in this order: {lines}")


@verb(
    app,
    "replace",
    example="iotonboard ca replace --compromised --passphrase-file ca.pass --generate-key-file /media/key/new.pass",
)
def replace_stolen(
    session: Session,
    which: Annotated[
        str, typer.Argument(metavar="[CA]", help="Beginning of the fingerprint; left out: every CA that is trusted.")
    ] = "",
    compromised: Annotated[bool, typer.Option("--compromised", help="Its key was stolen.")] = False,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DAY", help="End of its last CRL; default: when the CA ends.")
    ] = None,
    certificates: Annotated[
        list[str] | None, typer.Option("--cert", metavar="FILE", help="A certificate that the thief made.")
    ] = None,
    name: NewNameOption = None,
    key_type: NewKeyTypeOption = None,
    validity_days: NewLifeOption = 3650,
    key: KeyOption = None,
    generate: GenerateOption = False,
    new_passphrase_file: NewPassphraseOption = None,
    generate_key_file: GenerateKeyOption = None,
    weak: WeakOption = False,
    reload: ReloadOption = False,
    yes: YesOption = False,
) -> int | None:
    """Replace a CA whose key was stolen, at once: everything that it certified is revoked, and brokers forget it.

    Not to be taken back. Every device and broker needs a new certificate, and every device the new CA.
    """
    from iotonboard.commands import ca_replace as command

    if not compromised:
        raise UsageError(
            "'ca replace' shuts every device out: it is for a key that was stolen",
            hint="add --compromised if it was; else type: iotonboard ca rollover begin",
        )
    token = parse_key(key, key_type, generate=generate)
    is_new = bool(new_passphrase_file or generate_key_file)
    end = parse_moment(until) if until else None
    if end is not None and end <= clock():
        raise UsageError(f"--until {until} is over", hint="name a day on which the last device has its new certificate")
    new_ca = command.New(name, key_type, validity_days, token, generate)
    request = command.Request(new_ca, which, end, tuple(certificates or ()))
    new = NextSecret(session, new_passphrase_file, generate_key_file, weak, token)
    if token is None and is_new:
        new.in_file()
    with session.open_state(is_urgent=True) as state:
        stolen = command.stolen_cas(state, which)
        if stolen:
            names = ", ".join(f"{one.fingerprint[:16]}..." for one in stolen)
            session.confirm(f"Revoke everything that the CA {names} certified, and make a new CA?", yes=yes)
        reloader = session.reloader(state, wanted=reload)
        passphrase = new.beside(is_wanted=bool(stolen) and command.needs_new_secret(state, new_ca))
        ask = functools.partial(session.passphrase_of, state)
        result = command.replace_ca(state, request, ask, passphrase, reload=reloader)
    print_standing(session, result.status, result.cas, result)
    session.tell_key_file(generate_key_file if result.status == "replaced" else None)
    _tell_what_follows(session, result, is_new=is_new)
    return None


def _tell_what_follows(session: Session, result: Replacement, *, is_new: bool) -> None:
    last = result.replaced[-1]
    if result.waits:
        session.message(f"next: at the root: iotonboard ca revoke {last.name!r} --reason keyCompromise")
        session.message(_ASK_ROOT)
    if result.status == "was-replaced":
        session.message(
            f"nothing more was done: CA {last.fingerprint[:16]}... was replaced on {rfc3339(last.replaced_at)}. Was the"
            " key of the CA that issues now stolen too? Then type: iotonboard ca replace"
            f" {result.cas[0].fingerprint[:16]} --compromised"
        )
    else:
        tell_32_bits(session, "the CA that issues now", result.cas[0].not_after)
    if result.status != "was-replaced" and not is_new:
        session.message("warning: the new key has the passphrase of the stolen one; type: iotonboard ca passwd")
    session.message(f"the CA that issues now has the fingerprint {result.cas[0].fingerprint}")
    if session.added_ca:
        session.message("next: give the new ca.crt and crl.pem to those who connect to its devices, and to no broker")
    elif not result.waits:
        session.message(
            "next: iotonboard pack, and apply it with --ca and the new CA's file, fingerprints compared by eye"
        )
    if result.waiting_brokers:
        session.message(f"next: iotonboard broker issue, for each of: {', '.join(result.waiting_brokers)}")
    if result.waiting_devices:
        path = os.path.join(last.folder, "devices.csv")
        session.message(f"next: iotonboard renew --batch {path}: {result.waiting_devices} devices have no certificate")
    if result.also_added:
        session.message(
            f"was the key of the added CA {', '.join(result.also_added)} stolen too? Then type: iotonboard ca replace"
            f" --compromised --ca {result.also_added[0]}"
        )
        if is_new:
            session.message(
                "next: iotonboard ca passwd, with the old passphrase and the new one's file, for the added CAs"
            )
    session.message("then: iotonboard backup; the run-book 'A stolen CA key' has the rest")


@verb(
    app,
    "passwd",
    example="iotonboard ca passwd --passphrase-file ca.pass --generate-key-file /media/key/new.pass",
)
def passwd(
    session: Session,
    new_passphrase_file: NewPassphraseOption = None,
    generate_key_file: GenerateKeyOption = None,
    weak: WeakOption = False,
) -> int | None:
    """Change the passphrase of the CA key. Certificates and bundles stay valid.

    Copies of the old key file, in backups for example, still open with the old passphrase.
    """
    from iotonboard.ca.passphrase import SHARES_MADE
    from iotonboard.commands.ca_passwd import change_all

    new = changed_passphrase(session, new_passphrase_file, generate_key_file, weak=weak)
    with session.open_all() as cas:
        had_shares = cas.around.store.meta(SHARES_MADE) is not None
        paths = change_all(cas, session.ask_passphrase, new)
    session.result({"key_files": paths}, "\n".join(f"{path}\tnew passphrase" for path in paths))
    session.tell_key_file(generate_key_file)
    session.message("next: keep the new passphrase safe, make a new backup, and destroy the old ones")
    if had_shares:
        session.message("the shares of the old passphrase open nothing now; next: iotonboard ca split")
    return None


ca_levels.add_verbs(app)
