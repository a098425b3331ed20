"""Arguments and options that several verbs have."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli.complete import REASONS, complete_device_id, complete_profile, complete_reason
from iotonboard.errors import UsageError, did_you_mean, quoted
from iotonboard.model import KeyType, RevocationReason


def parse_reason(text: str) -> RevocationReason:
    """A reason in any case; ``hold`` is what people call a certificateHold.

    Raises:
        UsageError: it is none.
    """
    reasons = {reason.value.casefold(): reason for reason in RevocationReason}
    reasons["hold"] = RevocationReason.CERTIFICATE_HOLD
    if text.casefold() not in reasons:
        listed = ", ".join(f"{reason} ({meaning})" for reason, meaning in REASONS.items())
        hint = did_you_mean(text, (*RevocationReason, "hold"), f"choose of: {listed}")
        raise UsageError(f"{quoted(text, 40)} is no reason", hint=hint)
    return reasons[text.casefold()]


DeviceArgument = Annotated[str, typer.Argument(metavar="ID", help="The device.", autocompletion=complete_device_id)]
DevicesArgument = Annotated[
    list[str], typer.Argument(metavar="ID...", help="Devices.", autocompletion=complete_device_id)
]  # fmt: skip
NamedDevicesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ID|SERIAL|FINGERPRINT...]",
        help="Devices, or the serial or fingerprint of a certificate of theirs.",
        autocompletion=complete_device_id,
    ),
]
CertificateFilesOption = Annotated[
    list[str] | None, typer.Option("--cert", metavar="FILE", help="The device whose certificate is in this file.")
]
StationOption = Annotated[
    str, typer.Option("--station", metavar="NAME", help="At an office: only what this station told.")
]
OptionalDevicesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[ID...]", help="Devices.", autocompletion=complete_device_id)
]
BatchOption = Annotated[
    str | None,
    typer.Option("--batch", metavar="FILE", help="A list: CSV with device_id, plain ids, or results; '-': stdin."),
]
IdColumnOption = Annotated[
    str, typer.Option("--id-column", metavar="NAME", help="The list's column that names the device.")
]  # fmt: skip
OptionalDeviceArgument = Annotated[
    str | None, typer.Argument(metavar="[ID]", help="The device.", autocompletion=complete_device_id)
]  # fmt: skip
ValidityOption = Annotated[
    int | None, typer.Option("--validity-days", min=1, max=36500, help="Life, in days.")
]  # fmt: skip
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile", metavar="NAME", help="Certificate profile; see 'profile list'.", autocompletion=complete_profile
    ),
]
ReachOption = Annotated[bool, typer.Option("--yes", help="Allow topics that reach other devices' topics.")]
ReasonOption = Annotated[
    RevocationReason,
    typer.Option(
        "--reason",
        metavar="REASON",
        help="Why: keyCompromise for one that was stolen, superseded, hold, ...",
        parser=parse_reason,
        autocompletion=complete_reason,
    ),
]
WeakOption = Annotated[bool, typer.Option("--weak", help="Take a short or common passphrase all the same.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Answer yes to what is asked on a terminal.")]
ComparedOption = Annotated[bool, typer.Option("--yes", help="The fingerprint was compared before: do not ask.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
ExcelOption = Annotated[bool, typer.Option("--excel", help="Print CSV as Excel wants it.")]
ExcelFilesOption = Annotated[
    bool, typer.Option("--excel", help="New CSV files of --results and --passwords as Excel wants them.")
]
ReloadOption = Annotated[
    bool, typer.Option("--reload", help="Make the broker read it, as 'broker.reload' says, and check the outcome.")
]
HereOption = Annotated[
    bool,
    typer.Option("--here", help="Publish also where nothing of this CA is any more, as when its disk was lost."),
]
NewNameOption = Annotated[
    str | None, typer.Option("--name", help="The new CA's name; default: the old one's with G2, G3, ...")
]
NewKeyTypeOption = Annotated[
    KeyType | None, typer.Option("--key-type", help="The new CA's key type; default: as before.")
]
NewLifeOption = Annotated[int, typer.Option("--validity-days", min=1, max=36500, help="Life of the new CA, in days.")]
GenerateKeyOption = Annotated[
    str | None,
    typer.Option("--generate-key-file", metavar="FILE", help="Make a random passphrase file there and use it."),
]
