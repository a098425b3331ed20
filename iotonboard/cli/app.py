"""The program's entry: verbs are found by name and loaded one at a time, errors become exit codes.

Start-up is paid for every device of a shell loop, so a call imports the one module that holds its verb.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.main import get_command, get_command_from_info, get_group

from iotonboard import __version__
from iotonboard.cli.help_command import HelpfulGroup, meant
from iotonboard.cli.output import discard, write_error, write_unpublished
from iotonboard.errors import BusyError, IotOnboardError, UnpublishedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)  # files have errors of their own; this is stdout
# The verbs in the groups of the overview, each with one line. A verb lies in the module of its name.
GROUPS: dict[str, dict[str, str]] = {
    "Set up": {
        "init-ca": "Make a state directory with a new CA.",
        "adopt": "Take over the devices of a CA that another program kept.",
        "config": "Show and change settings.",
        "profile": "List, show and try certificate profiles.",
        "help": "Show this, one verb, or a page of the guide; write man pages.",
    },
    "Devices": {
        "register": "Register devices: key, certificate and bundle.",
        "show": "Show one device with its certificates.",
        "list": "List devices.",
        "renew": "Give devices a new certificate; the old one stays for an overlap.",
        "revoke": "Revoke devices; CRL and ACL follow.",
        "release": "End a hold; CRL and ACL follow.",
        "retire": "Take devices out of service for good.",
        "topics": "Show and change the topics of one device.",
    },
    "Hand over": {
        "export": "Write a device's credentials in a format.",
        "deliver": "Hand bundles over: a temporary link, or a copy on a disk.",
        "deliveries": "List what was handed over.",
        "confirm": "Record that devices took their credentials.",
        "purge": "Erase keys and bundles; certificates stay.",
        "labels": "Write sheets of QR labels for devices.",
        "bundle": "Open a bundle anywhere, or show its password again.",
    },
    "Broker": {
        "broker": "Issue, show and revoke brokers' certificates, with a mosquitto.conf.",
        "gen-crl": "Sign and publish a new CRL.",
        "sync-acl": "Bring mosquitto.acl to what the database says.",
        "verify": "Say beforehand what a broker will do with files and devices.",
        "pack": "Write ACL, CRL and CA file as one signed package for a broker.",
        "apply": "Put a package in place on a broker's machine.",
        "generations": "List the last published CRLs and ACLs.",
    },
    "Watch": {
        "health": "Check state, keys, CRL, ACL, files and clock.",
        "expiring": "Show what will expire: devices, brokers, CA and CRL.",
        "receipts": "Take what brokers' machines say is in place there.",
        "report": "Write a page to look at: the fleet, what expires, what changed.",
        "audit": "Read, verify and carry the audit trail.",
    },
    "Office": {
        "journal": "Write what happened here since the last journal, for the office.",
        "order": "Follow the orders of an office at a station; write them at the office.",
        "init-office": "Make the state of a head office, which joins several stations.",
        "machine": "Let further machines work on a head office's registry.",
        "station": "Trust stations at a head office, and take their journals.",
    },
    "CA and state": {
        "ca": "Show the CA, put a new one or an old fleet's beside it, replace a stolen one.",
        "backup": "Write one encrypted file that holds the whole state.",
        "restore": "Bring a state back from a backup, with every revocation.",
        "accept-clock": "Go on from a clock that was corrected.",
    },
}
VERBS = tuple(verb for verbs in GROUPS.values() for verb in verbs)
_MAY_BE_EMPTY = ("--", "--name", "--organization", "--user")  # an empty user: nobody is checked


class VerbGroup(HelpfulGroup):
    """All verbs; each is loaded when it is called."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """Every verb, in the order of the overview."""
        return list(VERBS)

    def get_command(self, _ctx: Any, name: str) -> Any:
        """Load one verb; ``None`` when there is no such."""
        if name not in VERBS:
            return None
        app: typer.Typer = import_module(f"iotonboard.cli.{name.replace('-', '_')}").app
        if app.info.name == name:  # a verb that has verbs of its own
            return get_group(app)
        (info,) = app.registered_commands
        return get_command_from_info(info, pretty_exceptions_short=False, rich_markup_mode=None)

    def get_help(self, ctx: Any) -> str:
        """The overview, without loading any verb."""
        from iotonboard.cli.help_text import overview_page

        return overview_page(self, ctx, GROUPS)


app = typer.Typer(
    cls=VerbGroup,
    invoke_without_command=True,
    rich_markup_mode=None,  # keeps rich out of start-up
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"iotonboard {__version__}")
        raise typer.Exit


@app.callback(epilog="Start with: iotonboard init-ca --common-name 'My Factory CA'")
def overview(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Offline PKI for IoT devices: certificates, bundles, CRL and ACL for a Mosquitto broker."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the only place where errors become exit codes."""
    _make_streams_safe()
    words = sys.argv[1:] if argv is None else list(argv)
    # The options that install completion stand before any verb; a call that begins with one can do without them.
    make = get_group if words and words[0] in VERBS and words[0] != "help" else get_command
    try:
        code = make(app).main(args=_with_homes(words), prog_name="iotonboard", standalone_mode=False)
    except UnpublishedError as error:
        write_unpublished(error)
        return error.exit_code
    except IotOnboardError as error:
        write_error(error.message, error.hint)
        return error.exit_code
    except typer.TyperException as error:
        write_error(error.format_message(), _what_was_meant(error))
        return 2
    except (typer.Abort, KeyboardInterrupt):
        write_error("interrupted", "run the same command again: what was done stays done")
        return 130
    except OSError as error:
        if error.errno not in _FULL or error.filename is not None:
            raise
        discard(sys.stdout)
        write_error(f"cannot write the result: {error.strerror}", "free some space there; what was done stays done")
        return BusyError.exit_code
    return code if isinstance(code, int) else 0


def _what_was_meant(error: Any) -> str:
    """A hint for a call that the parser refused: what is spelled alike, or where the options stand."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    choices = [str(getattr(each, "value", each)) for each in getattr(getattr(parameter, "type", None), "choices", ())]
    if context is None:
        return ""
    if choices and (typed := re.search(r"'([^']*)' is not one of", error.format_message())):
        return meant(typed[1], choices, f"{context.command_path} --help")
    return f"'{context.command_path} --help' shows the options"


def _with_homes(words: Sequence[str]) -> list[str]:
    """The words with ``~/`` and ``~name/`` written out, as a shell does it where they are not quoted; variables too.

    Raises:
        UsageError: nobody knows that home, or an option has an empty value: the option would count as not given, and
            ``--csr "$FILE"`` would make a key where the script's variable has no value.
    """
    for name in ("IOTONBOARD_STATE", "IOTONBOARD_PASSPHRASE_FILE"):
        if name in os.environ:
            os.environ[name] = _with_home(os.environ[name])
    found, before = list[str](), ""
    for word in words:
        option, is_given, value = word.partition("=") if word.startswith("--") else ("", "", word)
        named = option if is_given else "" if word else before
        if not value and named.startswith("--") and named not in _MAY_BE_EMPTY:
            raise UsageError(f"{named} has an empty value", hint="has a variable of your script no value?")
        before = "" if is_given else word
        found.append(f"{option}{is_given}{_with_home(value)}")
    return found


def _with_home(value: str) -> str:
    if value != "~" and not (value.startswith("~") and "/" in value):
        return value
    written_out = os.path.expanduser(value)
    if written_out == value:
        raise UsageError(f"nobody knows which home {value!r} means", hint="write the path out, or './~' for that name")
    return written_out


def _make_streams_safe() -> None:
    """Never fail on a character that the terminal cannot show, nor on a stream that the caller closed.

    Its number would be given to the next file that is opened, such as the database.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            setattr(sys, name, os.fdopen(descriptor, "w" if number else "r", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
