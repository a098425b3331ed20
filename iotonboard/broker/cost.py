"""What the ACL's style costs the broker, as measured."""

from __future__ import annotations

PER_DEVICE_LIMIT = 5000
# Seconds for which Mosquitto 2.0 serves nobody while it reads so many 'user' blocks at a reload. It looks each
# name up in a list, so the time grows with the square; 2.1 has a hash table.
FREEZE_S = {1_000: 0.02, 10_000: 0.6, 50_000: 20, 100_000: 204}


def style_warning(devices: int) -> str:
    """Say what the per-device style costs with so many devices; empty below the limit."""
    if devices < PER_DEVICE_LIMIT:
        return ""
    measured = ", ".join(f"{seconds:g} s with {blocks}" for blocks, seconds in FREEZE_S.items())
    return f"{devices} blocks slow the broker down: Mosquitto 2.0 serves nobody during a reload (measured: {measured})"
