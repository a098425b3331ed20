"""The verb ``config``: ``show`` and ``set``."""

from __future__ import annotations

from typing import Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.session import Session, group, verb

app = group("config", "Show and change settings.", example="iotonboard config show")


@verb(app, "show", example="iotonboard config show --json")
def config_show(session: Session) -> int | None:
    """Show each setting with its value and where it came from."""
    from iotonboard.commands.config_show import show_settings

    shown = show_settings(session.root, session.environment)
    if session.json:
        rows = {one.key: {"value": one.value, "source": one.source} for one in shown}
        output.write_json("config show", {"settings": rows})
        return None
    lines = ((one.key, _text(one.value), one.source, one.about) for one in shown)
    output.write_table(("SETTING", "VALUE", "FROM", "WHAT"), lines)
    return None


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


@verb(app, "set", example="iotonboard config set crl_next_update_days 60")
def config_set(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The setting.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its new value; lists with commas.")],
) -> int | None:
    """Check a value and write it into iotonboard.toml."""
    from iotonboard.commands.config_set import set_value

    with session.open_state() as state:
        new = set_value(state, key, value)
    shown = list(new) if isinstance(new, tuple) else new
    session.result({"key": key, "value": shown}, f"{key}\t{_text(new)}")
    if key.startswith("acl."):
        session.message("next: iotonboard sync-acl")
    return None
