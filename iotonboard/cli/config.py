"""The verb ``config``: ``show``, ``set``, ``accept`` and ``write``."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from iotonboard.cli import output
from iotonboard.cli.complete import complete_setting, complete_setting_value
from iotonboard.cli.left_over import is_office
from iotonboard.cli.options import ReachOption
from iotonboard.cli.session import Session, clock, group, verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotonboard.commands.config_show import Shown

# Where files are published for the broker, and whose they are.
_PUBLISHED = frozenset({"broker_acl_file", "broker_crl_file", "broker_ca_file", "ca_root_path", "broker.user",
                        "broker.group", "broker.mode"})  # fmt: skip
app = group("config", "Show and change settings.", example="iotonboard config show")


@verb(app, "show", example="iotonboard config show --json")
def config_show(session: Session) -> int | None:
    """Show each setting with its value and where it came from."""
    if is_office(session.root):
        from iotonboard.commands import office_config

        found = office_config.show_settings(session.root, session.environment)
        if session.json:
            values = {one.key: {"value": one.value, "source": one.source} for one in found}
            output.write_json("config show", {"settings": values})
        else:
            table = ((one.key, one.value, one.source, one.about) for one in found)
            output.write_table(("SETTING", "VALUE", "FROM", "WHAT"), table, empty="no settings")
        return None
    from iotonboard.commands.config_show import show_settings

    shown, settings = show_settings(session.root, session.environment)
    session.tell_problems(settings)
    if session.json:
        rows = {one.key: {"value": one.value, "source": one.source, **_in_file(one)} for one in shown}
        output.write_json("config show", {"settings": rows})
        return None
    lines = ((one.key, _text(one.value), one.source, one.about) for one in shown)
    output.write_table(("SETTING", "VALUE", "FROM", "WHAT"), lines, empty="no settings")
    return None


def _in_file(one: Shown) -> dict[str, object]:
    return {} if one.in_file is None else {"in_file": one.in_file}


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple | dict) else str(value)


@verb(app, "set", example="iotonboard config set crl_next_update_days 60")
def config_set(
    session: Session,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The setting.", autocompletion=complete_setting)],
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="Its new value; lists with commas.", autocompletion=complete_setting_value
        ),
    ],
    yes: ReachOption = False,
) -> int | None:
    """Check a value, seal it, and write it into iotonboard.toml, which shows what is sealed.

    What decides access, runs a command, or steers what is signed, published or erased needs the passphrase, unless the
    new value is tighter than the old one.
    """
    if is_office(session.root):
        from iotonboard.commands import office_config

        place = session.root, session.environment, session.caller, clock()
        written = office_config.set_value(*place, key, value)
        session.result({"key": key, "value": written}, f"{key}\t{written}")
        return None
    from iotonboard.commands.config_set import check_value, set_value

    check_value(key, value)  # a mistyped word needs no state
    with session.open_state() as state:
        result = set_value(state, key, value, session.unlock, reach=yes)
        path = state.paths.config
    shown = list(result.value) if isinstance(result.value, tuple) else result.value
    session.result({"key": key, "value": shown}, f"{key}\t{_text(result.value)}")
    _tell_kept(session, path, result.kept)
    _tell_next(session, {key: result.value})
    return None


def _tell_next(session: Session, keys: Mapping[str, object]) -> None:
    """Say what these settings need; files follow them with the next command that publishes."""
    kind, _, target = str(keys.get("broker.reload", "")).partition(":")
    if kind == "pid" and not os.path.exists(target):
        session.message(
            f"warning: there is no file {target!r} now: the broker must run, with 'pid_file {target}' in its"
            " configuration, before --reload finds it"
        )
    elif kind == "command" and shutil.which(program := shlex.split(target)[0]) is None:
        session.message(f"warning: there is no program {program!r} on this machine")
    if any(key.startswith("acl.") or key in _PUBLISHED for key in keys):
        session.message("next: iotonboard sync-acl")
    if "crl_url" in keys:
        session.message("next: iotonboard gen-crl; certificates say it from now on, others once they are renewed")


def _tell_kept(session: Session, path: str, kept: str) -> None:
    if kept:
        session.message(f"{path!r} was written anew; the one that somebody had edited is {kept!r}")


@verb(app, "accept", example="iotonboard config accept --passphrase-file ca.pass")
def config_accept(session: Session, yes: ReachOption = False) -> int | None:
    """Seal what iotonboard.toml says, after somebody has edited it. Until then it is not followed."""
    from iotonboard.commands.config_accept import accept_file

    with session.open_state() as state:
        changes = accept_file(state, session.unlock, reach=yes)
    values = [{"key": one.key, "old": one.old, "new": one.new} for one in changes]
    lines = [f"{one.key}\t{_text(one.old)} -> {_text(one.new)}" for one in changes]
    session.result({"changed": values}, "\n".join(lines) or "every setting is sealed as the file says")
    _tell_next(session, {one.key: one.new for one in changes})
    return None


@verb(app, "write", example="iotonboard config write")
def config_write(session: Session) -> int | None:
    """Write iotonboard.toml anew from the settings in force; needs no passphrase."""
    from iotonboard.commands.config_write import write_file

    with session.open_state() as state:
        result = write_file(state)
    session.result({"path": result.path, "kept": result.kept or None}, result.path)
    _tell_kept(session, result.path, result.kept)
    return None
