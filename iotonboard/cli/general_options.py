"""The options of every verb, and those of one that works on a state."""

from __future__ import annotations

from typing import Annotated

import typer

DEFAULT_STATE = "./iotonboard-state"
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
OF_A_STATE = frozenset({"state", "passphrase_file", "share_file"})  # a verb that works without one does not have these
COMMON = {
    "state": (StateOption, DEFAULT_STATE),
    "json": (JsonOption, False),
    "quiet": (QuietOption, False),
    "verbose": (VerboseOption, False),
    "plain": (PlainOption, False),
    "passphrase_file": (PassphraseOption, None),
    "share_file": (ShareOption, None),
}
