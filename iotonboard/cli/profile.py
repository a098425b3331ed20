"""The verb ``profile``: ``list``, ``show`` and ``check``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_profile
from iotonboard.cli.session import Session, group, verb

if TYPE_CHECKING:
    from iotonboard.commands.profile import Listed

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The profile.", autocompletion=complete_profile)]
app = group("profile", "What devices that do more than MQTT get.", example="iotonboard profile list")


@verb(app, "list", example="iotonboard profile list")
def list_all(session: Session) -> int | None:
    """List the certificate profiles: those that are built in, and those of the settings."""
    from iotonboard.commands.profile import list_profiles

    with session.open_state() as state:
        found = list_profiles(state.config)
    if session.json:
        for one in found:
            output.write_json(session.command, _values(one))
        return None
    rows = ((one.name + (" (default)" if one.is_default else ""), one.about, one.source) for one in found)
    output.write_table(("PROFILE", "FOR", "SOURCE"), rows, empty="no profiles")
    return None


def _values(one: Listed) -> dict[str, Any]:
    return {
        "name": one.name,
        "about": one.about,
        "source": one.source,
        "default": one.is_default,
        "profile": dict(one.table),
    }


@verb(app, "show", example="iotonboard profile show idevid")
def show(session: Session, name: NameArgument) -> int | None:
    """Show what a profile says, as it can be copied into iotonboard.toml and changed."""
    from iotonboard.commands.profile import show_profile

    with session.open_state() as state:
        found = show_profile(state.config, name)
    if session.json:
        output.write_json(session.command, _values(found))
        return None
    if found.source:
        output.write_line(f"# {found.about}: {found.source}")
    output.write_line(found.toml)
    session.message("next: copy it under another name into iotonboard.toml, change it, and: iotonboard config accept")
    return None


@verb(app, "check", example="iotonboard profile check idevid --device press-17 --set hardware_type=1.3.6.1.4.1.99999.1")
def check(
    session: Session,
    name: NameArgument,
    device: Annotated[
        str, typer.Option("--device", metavar="ID", help="A device, which need not be there.")
    ] = "device-1",
    attributes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An attribute.")] = None,
) -> int | None:
    """Show what a device would get by a profile, decoded. Nothing is issued."""
    from iotonboard.commands.profile import check_profile, is_taken_for_a_server
    from iotonboard.enrolment.request import parse_attribute

    with session.open_state() as state:
        decoded = check_profile(state, name, device, dict(parse_attribute(text) for text in attributes or ()))
    text = "\n".join(f"{key}\t{value}" for key, value in decoded.items())
    session.result({"profile": name, "device_id": device, "certificate": decoded}, text)
    if is_taken_for_a_server(decoded):
        session.message(
            "it has no purpose, so a client that checks no host could take the device for the broker: where that is not"
            ' meant, add eku = ["clientAuth"]'
        )
    session.message(f"next: iotonboard register {device} --profile {name}")
    return None
