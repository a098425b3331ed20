"""``verify``: one device beside one ``openssl verify``, many devices, and what a long list costs."""

from __future__ import annotations

from pathlib import Path

from measure import Case, Line, Spent, State, milliseconds, named, pair, process
from size import grown

_DEVICES, _REVOKED = 1000, 10_000


def verify(state: State, states: Path, folder: Path, sizes: tuple[int, ...]) -> list[Case]:
    """One device, a thousand devices with ten thousand revoked, and lists of these sizes."""
    certs = state.path / "certs"

    def ours() -> Spent:
        return state.call("verify", "first", unlocked=False)

    def openssl() -> Spent:
        return process("openssl", "verify", "-crl_check", "-no-CApath", "-no-CAstore", "-CAfile", certs / "ca.crt",
                       "-CRLfile", certs / "crl.pem", certs / "devices" / "first" / "device.crt")  # fmt: skip

    return [
        pair("verify", "`verify` of one device", "`openssl verify`", "<= 2.00 beyond the start", ours, openssl),
        _many(state, folder),
        *(_long(state, states, folder, size) for size in sizes),
    ]


def _many(state: State, folder: Path) -> Case:
    def measure(runs: int) -> Line:
        big = state.copy(folder / "verify-many")
        here, gone = folder / "here", folder / "gone"
        here.write_text("".join(f"here-{number}\n" for number in range(_DEVICES)))
        gone.write_text("".join(f"gone-{number}\n" for number in range(_REVOKED)))
        for names in (here, gone):
            big.call("register", "--batch", names, "--no-bundle", "--quiet")
        big.call("revoke", "--batch", gone, "--quiet")
        spent = [big.call("verify", "--batch", here, "--quiet", unlocked=False) for _ in range(min(runs, 5))]
        what = f"`verify` of {named(_DEVICES)} devices, {named(_REVOKED)} revoked"
        return Line(what, "-", "<= 1 s on two cores", milliseconds(min(spent).wall_ms), note=_note(min(spent)))

    return Case("verify-many", measure)


def _long(state: State, states: Path, folder: Path, size: int) -> Case:
    def measure(_runs: int) -> Line:
        certs = grown(state, states, size + 1, size).path / "certs"
        acl = folder / "empty.acl"
        acl.write_bytes(b"")
        words = ("--acl", acl, "--crl", certs / "crl.pem", "--ca", certs / "ca.crt")
        spent = state.call("verify", *words, unlocked=False)
        return Line(f"`verify`, {named(size)} revoked", "-", "-", milliseconds(spent.wall_ms), note=_note(spent))

    return Case("verify-long", measure)


def _note(spent: Spent) -> str:
    return f"CPU {milliseconds(spent.cpu_ms)}, {spent.peak_mb:.0f} MB"
