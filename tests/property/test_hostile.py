"""Whatever stands in an argument, a list, a request or a file: documented errors only, never a traceback."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.program import State

_LONG = int(os.environ.get("IOTB_EXAMPLES", "25"))
_MANY = settings(
    max_examples=_LONG, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_DOCUMENTED = range(10)
_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=80)
_NASTY = st.sampled_from(
    [
        "../../x",
        "--help",
        "-",
        "=1+1",
        "\x1b]0;x\x07",
        "[bold]x[/bold]",
        "\u202eabc",
        "a\nuser x",
        "#",
        "+",
        "%u",
        "NUL",
    ]
)
_VALUES = st.one_of(_TEXT, _NASTY)


def _check(state: State, *words: str | Path, data: bytes = b"") -> str:
    result = state.run(*words, input=data, expect=None)
    assert result.exit_code in _DOCUMENTED, result
    assert result.exit_code != 1, result
    assert "Traceback" not in result.stderr, result
    for stream in (result.stdout, result.stderr):
        assert all(char.isprintable() or char in "\n\t" for char in stream), result
    return result.stdout


@pytest.fixture
def guarded(state: State) -> State:
    """A state beside a file that nothing may touch."""
    (state.path.parent / "victim").write_text("untouched")
    return state


def _unharmed(state: State) -> None:
    assert (state.path.parent / "victim").read_text() == "untouched"
    assert {path.name for path in state.path.parent.iterdir()} <= {"state", "key-file", "victim", "given"}


@_MANY
@given(device_id=_VALUES, name=_VALUES, value=_VALUES)
def test_ids_names_and_attributes(guarded: State, device_id: str, name: str, value: str) -> None:
    _check(guarded, "register", "--if-exists", "skip", "--name", name, "--set", f"k={value}", "--", device_id)
    for words in (("list",), ("list", "--json"), ("list", "--csv"), ("show", "--", device_id)):
        _check(guarded, *words)
    _unharmed(guarded)


@_MANY
@given(rows=st.lists(st.lists(_VALUES, min_size=1, max_size=4), max_size=6), junk=st.binary(max_size=60))
def test_lists(guarded: State, rows: list[list[str]], junk: bytes) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["device_id", "name", "line"], *rows])
    for data in (text.getvalue().encode(), junk, b"device_id,name\n" + junk):
        _check(guarded, "register", "--batch", "-", "--if-exists", "skip", "--jobs", "1", data=data)
        _check(guarded, "revoke", "--batch", "-", "--defer", data=data)
    _unharmed(guarded)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_VALUES, inner, max_size=3),
    max_leaves=8,
)


@_MANY
@given(lines=st.lists(st.one_of(st.binary(max_size=40), _JSON), max_size=5), name=_JSON, device=_JSON)
def test_stream_lines(guarded: State, lines: list[object], name: object, device: object) -> None:
    octets = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    octets.append(json.dumps({"device_id": device, "name": name, "attributes": name}).encode())
    _check(guarded, "register", "--stream", data=b"\n".join(octets))
    _unharmed(guarded)


@_MANY
@given(content=st.binary(max_size=200))
def test_files_of_octets(guarded: State, content: bytes) -> None:
    """As a request, a passphrase file, a configuration and a certificate."""
    file = guarded.path.parent / "given"
    file.write_bytes(content)
    _check(guarded, "register", "x", "--csr", file)
    _check(guarded, "gen-crl", "--passphrase-file", file)
    _check(guarded, "revoke", "--cert", file, "--defer")
    config = guarded.path / "iotonboard.toml"
    config.write_bytes(content)
    _check(guarded, "config", "show")
    _check(guarded, "register", "--uuid", "--no-bundle")
    config.unlink()
    _unharmed(guarded)


def test_formulas_and_markup_are_harmless(state: State) -> None:
    state.register("a", "b")
    state.run("register", "c", "--name", "=cmd|'/c calc'!A1", "--set", "note=[red]x[/red]")
    rows = list(csv.reader(io.StringIO(state.run("list", "--csv").stdout)))
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@")]
    assert state.json("show", "c")["attributes"] == {"note": "[red]x[/red]"}


@pytest.mark.parametrize("kind", ["symlink", "hard link"])
@pytest.mark.parametrize("place", ["acl", "crl", "device.crt", "creds.zip", "device folder", "out", "passwords"])
def test_links_in_output_places_are_not_followed(guarded: State, kind: str, place: str) -> None:
    victim = guarded.path.parent / "victim"
    folder = guarded.device("x")
    if place == "device folder":
        if kind == "hard link":
            pytest.skip("folders have no hard links")
        outside = guarded.path.parent / "given"
        outside.mkdir()
        folder.symlink_to(outside)
        guarded.run("register", "x", expect=None)
        assert not list(outside.iterdir())
        return
    if place in ("device.crt", "creds.zip"):
        folder.mkdir(mode=0o700)
    target = {
        "acl": guarded.acl,
        "crl": guarded.crl,
        "out": guarded.path.parent / "given",
        "passwords": guarded.path.parent / "given",
    }.get(place, folder / place)
    target.unlink(missing_ok=True)
    if kind == "symlink":
        target.symlink_to(victim)
    else:
        os.link(victim, target)
    extra = ("--passwords", str(target)) if place == "passwords" else ()
    guarded.run("register", "x", *extra, expect=None)
    guarded.run("revoke", "x", expect=None) if place in ("acl", "crl") else None
    if place == "out":
        guarded.run("export", "x", "--format", "pem", "--out", target, "--force", expect=None)
    assert victim.read_text() == "untouched"
