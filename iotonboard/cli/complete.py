"""Shell completion that looks into the state: device ids, formats, reasons. Never fails, never writes."""

from __future__ import annotations

import contextlib
import os

import typer

_SHOWN = 200
# The CRLReasons of model.py (RFC 5280, section 5.3.1), each with what people call it.
REASONS = {
    "keyCompromise": "stolen, lost or copied",
    "superseded": "replaced",
    "cessationOfOperation": "out of use",
    "certificateHold": "for a while; 'release' ends it",
    "affiliationChanged": "it belongs to others now",
    "privilegeWithdrawn": "it may not any more",
    "unspecified": "not said",
}


def complete_device_id(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids that begin with what was typed."""
    from iotonboard.cli.general_options import DEFAULT_STATE
    from iotonboard.errors import IotOnboardError
    from iotonboard.state.layout import resolve_paths
    from iotonboard.state.recorded_settings import load_settings
    from iotonboard.store.device_search import device_ids
    from iotonboard.store.store import Store

    root = ctx.params.get("state") or os.environ.get("IOTONBOARD_STATE") or DEFAULT_STATE
    try:
        path = resolve_paths(root, load_settings(root, os.environ)).database
        with contextlib.closing(Store.open_to_look(path, timeout_s=1)) as store:
            return device_ids(store, incomplete, _SHOWN)
    except IotOnboardError:
        return []


def complete_format(incomplete: str) -> list[tuple[str, str]]:
    """Export formats, each with what it is."""
    from iotonboard.delivery import cloud_table
    from iotonboard.delivery.formats.table import FORMATS

    named = {name: line.description for name, line in FORMATS.items()}
    named |= {name: cloud.about for name, cloud in cloud_table.FORMATS.items()}
    return [(name, about) for name, about in named.items() if name.startswith(incomplete)]


def complete_reason(incomplete: str) -> list[tuple[str, str]]:
    """Reasons of a revocation, each with what it is for; a hold by the name that people use too."""
    names = [*REASONS.items(), ("hold", "the same as certificateHold")]
    return [(name, about) for name, about in names if name.casefold().startswith(incomplete.casefold())]


def complete_setting(incomplete: str) -> list[tuple[str, str]]:
    """Names of settings, each with what it is for."""
    from iotonboard.state.setting_table import SETTINGS

    return [(key, one.help) for key, one in SETTINGS.items() if key.startswith(incomplete)]


def complete_setting_value(ctx: typer.Context, incomplete: str) -> list[str]:
    """The words that the setting takes, or its default."""
    from iotonboard.state.setting_table import SETTINGS

    setting = SETTINGS.get(str(ctx.params.get("key")))
    words = setting.words or (setting.default,) if setting else ()
    return [word for word in words if isinstance(word, str) and word.startswith(incomplete)]


def complete_check(incomplete: str) -> list[tuple[str, str]]:
    """Names of checks, each with what it looks at."""
    from iotonboard.health.checks.table import CHECKS

    return [(one.name, one.about) for one in CHECKS if one.name.startswith(incomplete)]


def complete_profile(incomplete: str) -> list[tuple[str, str]]:
    """Certificate profiles that are built in, each with what it is for."""
    from iotonboard.pki.built_in_profiles import BUILT_IN

    return [(name, about) for name, (about, _, _) in BUILT_IN.items() if name.startswith(incomplete)]
