"""Shell completion that looks into the state: device ids, formats, reasons. Never fails, never writes."""

from __future__ import annotations

import os

import typer

_SHOWN = 200


def complete_device_id(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids that begin with what was typed."""
    import sqlite3

    from iotonboard.cli.session import DEFAULT_STATE
    from iotonboard.errors import IotOnboardError
    from iotonboard.state.layout import resolve_paths
    from iotonboard.state.state import load_settings
    from iotonboard.store.devices import device_ids
    from iotonboard.store.store import Store

    root = ctx.params.get("state") or os.environ.get("IOTONBOARD_STATE") or DEFAULT_STATE
    try:
        path = resolve_paths(root, load_settings(root, os.environ)).database
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
        try:
            return device_ids(Store(path, connection), incomplete, _SHOWN)
        finally:
            connection.close()
    except (IotOnboardError, sqlite3.Error):
        return []


def complete_format(incomplete: str) -> list[str]:
    """Export formats."""
    from iotonboard.delivery.formats.table import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]
