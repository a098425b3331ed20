"""The options of every verb, and those of one that works on a state."""

from __future__ import annotations

import contextlib
import os
from typing import Annotated

import typer

from iotonboard.errors import UsageError

DEFAULT_STATE = "./iotonboard-state"


def _complete_added_ca(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the CAs that were added to the state."""
    root = ctx.params.get("state") or os.environ.get("IOTONBOARD_STATE") or DEFAULT_STATE
    with contextlib.suppress(OSError):
        return sorted(name for name in os.listdir(os.path.join(root, "cas")) if name.startswith(incomplete))
    return []


StateOption = Annotated[
    str, typer.Option("--state", envvar="IOTONBOARD_STATE", metavar="DIR", help="The state directory.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print no messages, only results and errors.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what is done.")]
PlainOption = Annotated[bool, typer.Option("--plain", help="Plain, tab-separated lines on a terminal too.")]
PassphraseOption = Annotated[
    str | None,
    typer.Option(
        "--passphrase-file",
        envvar="IOTONBOARD_PASSPHRASE_FILE",
        metavar="FILE",
        help="File whose first line opens the CA key; '-' reads stdin.",
    ),
]
ShareOption = Annotated[
    list[str] | None,
    typer.Option(
        "--share-file", metavar="FILE", help="Share of the CA passphrase, of 'ca split'; once for each that is needed."
    ),
]
AddedCaOption = Annotated[
    str | None,
    typer.Option(
        "--ca",
        metavar="NAME",
        help="A CA that 'ca add' put into the state, instead of its own.",
        autocompletion=_complete_added_ca,
    ),
]
# A verb that works without a state does not have these.
OF_A_STATE = frozenset({"state", "passphrase_file", "share_file", "added_ca"})
COMMON = {
    "state": (StateOption, DEFAULT_STATE),
    "json": (JsonOption, False),
    "quiet": (QuietOption, False),
    "verbose": (VerboseOption, False),
    "plain": (PlainOption, False),
    "passphrase_file": (PassphraseOption, None),
    "share_file": (ShareOption, None),
    "added_ca": (AddedCaOption, None),
}
_PLACEHOLDERS = {"FILE": "a file's name", "DIR": "a folder's name"}  # in hints and help
_PATHS = {"FILE", "DIR", "PATH"}  # what an option is called that takes one
_OF_ANOTHER_SECRET = "ca recover"  # whose shares are of the recovery passphrase, and whose file is for the new key


def refuse_two_ways(context: typer.Context) -> None:
    """Refuse shares and a file for one passphrase; a file that the environment names gives way to shares.

    Raises:
        UsageError: both were typed.
    """
    file = context.get_parameter_source("passphrase_file")
    is_typed = file is not None and file.name == "COMMANDLINE"
    if is_typed and context.params.get("share_file") and not context.command_path.endswith(_OF_ANOTHER_SECRET):
        raise UsageError("--share-file and --passphrase-file exclude each other", hint="choose one of them")


def refuse_placeholders(context: typer.Context) -> None:
    """Refuse a word that was copied from a hint, and would become the name of a file.

    Raises:
        UsageError: it stands for a name, and nothing has it for one.
    """
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "") if parameter.metavar in _PATHS else None
        for word in value if isinstance(value, list) else [value]:
            if word in _PLACEHOLDERS and not os.path.lexists(word):
                raise UsageError(f"{word!r} stands for {_PLACEHOLDERS[word]}", hint="type the real one in its place")
