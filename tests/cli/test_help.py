"""Help: an overview, a page for each verb, the guide and man pages, all offline and as wide as the terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from iotonboard.cli.general_options import COMMON
from iotonboard.cli.guide import TOPICS, read_page, set_page
from rich.console import Console

from support.program import PROJECT, run_cli
from support.terminal import on_terminal

GENERAL = {f"--{name.replace('_', '-')}" for name in COMMON if name != "added_ca"}
WITHOUT_STATE = {"apply", "bundle open"}


def commands() -> Iterator[tuple[str, Any]]:
    """Every verb with its command, those below others too."""
    from iotonboard.cli.app import app
    from typer.main import get_command

    group: Any = get_command(app)
    for name in group.list_commands(None):
        yield from below(name, group.get_command(None, name))


def below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for each, inner in getattr(command, "commands", {}).items():
        yield from below(f"{name} {each}", inner)


COMMANDS = dict(commands())


def narrow(*words: str, columns: int = 80) -> str:
    done = run_cli(*words, env={"COLUMNS": str(columns)})
    assert done.stderr == ""
    return done.stdout


def test_the_program_alone_shows_the_overview_without_an_error() -> None:
    overview = narrow()
    assert overview == narrow("help") == narrow("--help") == narrow("-h")
    assert max(map(len, overview.splitlines())) <= 80
    for name in COMMANDS:
        assert " " in name or re.search(rf"^  {name} ", overview, re.MULTILINE)
    assert all(topic in overview for topic in TOPICS)
    assert max(map(len, narrow(columns=110).splitlines())) > 80


@pytest.mark.parametrize("name", [name for name in COMMANDS if hasattr(COMMANDS[name], "commands")])
def test_a_verb_with_verbs_below_it_shows_them_uncut(name: str) -> None:
    page = narrow(*name.split())
    assert page == narrow("help", *name.split()) == narrow(*name.split(), "--help")
    assert "..." not in page.partition("Verbs:")[2]
    for each in COMMANDS[name].commands:
        assert re.search(rf"^  {each} ", page, re.MULTILINE)


def test_every_page_fits_the_terminal_and_says_what_a_value_is() -> None:
    from iotonboard.cli.app import app
    from typer.main import get_command

    group: Any = get_command(app)
    for name, command in COMMANDS.items():
        context = group.make_context("iotonboard", [], resilient_parsing=True)
        for word in name.split():
            context = type(context)(context.command.get_command(context, word), info_name=word, parent=context)
        page = command.get_help(context)
        wide = [line for line in page.splitlines() if len(line) > 80]
        assert wide == [], name
        assert "<" not in page.replace("<=", ""), name
        described = page.partition("General options")[0]
        assert GENERAL.isdisjoint(re.findall(r"^  (?:-\w, )?(--[\w-]+)", described, re.MULTILINE)), name
        if hasattr(command, "commands") or name == "help":
            assert "General options" not in page
        else:
            assert ("--state" in page) == (name not in WITHOUT_STATE), name


def test_the_general_options_have_a_page() -> None:
    page = narrow("help", "options")
    assert set(re.findall(r"(--[\w-]+)", page)) >= GENERAL | {"--ca"}


def test_formats_and_reasons_are_listed() -> None:
    from iotonboard.delivery.formats.table import FORMATS

    for verb in ("export", "register"):
        listed = narrow(verb, "--help").partition("FORMAT is one of:")[2]
        assert [name for name in FORMATS if not re.search(rf"^  {name} ", listed, re.MULTILINE)] == []
    reasons = narrow("revoke", "--help").partition("REASON is one of:")[2]
    assert "keyCompromise" in reasons
    assert "certificateHold" in reasons


@pytest.mark.parametrize(
    ("words", "exit_code", "meant"),
    [
        ("regster", 2, "'register'"),
        ("config st", 2, "'set'"),
        ("list --status actve", 2, "'active'"),
        ("help ofcer", 5, "'officer'"),
        ("help config shw", 5, "'show'"),
        ("revoke press-1 --reason keycompromis", 2, "'keyCompromise'"),
        ("config set acl.styel pattern", 2, "'acl.style'"),
        ("config set acl.style pattren", 6, "'pattern'"),
        ("config set key_type EC-P265", 6, "'ec-p256'"),
        ("config set keep_keys until-confirmd", 6, "'until-confirmed'"),
        ("audit show --command revok", 2, "'revoke'"),
        ("audit show --command config-set", 2, "'config'"),
        ("audit show --command config-st", 2, "'config'"),
        ("export press-1 --format zephir", 2, "'zephyr'"),
        ("register press-1 --key-type ec-p265", 2, "'ec-p256'"),
        ("sync-acl --style Patern", 2, "'pattern'"),
        ("health --check crls", 5, "'crl'"),
        ("list --statu active", 2, "--status"),
    ],
)
def test_a_mistyped_word_is_answered_with_what_was_meant(words: str, exit_code: int, meant: str) -> None:
    done = run_cli(*words.split(), expect=exit_code)
    assert meant in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_is_a_page_of_the_guide(topic: str) -> None:
    page = (PROJECT / "iotonboard" / "guide" / f"{topic}.md").read_text(encoding="utf-8")
    assert page.startswith("# ")
    assert narrow("help", topic) == page


def test_a_page_is_set_on_a_terminal() -> None:
    shown, _, _ = on_terminal(None, "help", "hand-over", env={"PAGER": "cat"})
    assert "## Labels" not in shown
    assert "Labels" in shown


@pytest.mark.parametrize("topic", TOPICS)
def test_nothing_of_a_page_is_cut(topic: str) -> None:
    """Names of tests are wider than the columns of their tables."""
    console = Console(width=80, file=io.StringIO())
    console.print(set_page(read_page(topic)))
    assert "…" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_command_of_a_page_stays_on_its_line() -> None:
    """So that it can be copied from a narrow terminal."""
    shown, _, _ = on_terminal(None, "help", "first-day", env={"PAGER": "cat"})
    long = [line for line in read_page("first-day").splitlines() if line.startswith("$ iotonboard") and len(line) > 80]
    assert long
    assert all(line in shown for line in long)


def test_a_default_is_said_without_signs_around_it() -> None:
    assert "[default: ec-p256]" in narrow("init-ca", "--help")


def test_colour_is_for_terminals_that_show_it() -> None:
    assert "\x1b[1m" in on_terminal(None, "help", "revoke")[0]
    assert "\x1b[" not in on_terminal(None, "help", "revoke", env={"NO_COLOR": "1"})[0]
    assert "\x1b[" not in narrow("help", "revoke")


def test_man_pages_are_written_for_every_verb(tmp_path: Path) -> None:
    run_cli("help", "--man", tmp_path / "man1")
    names = {path.stem for path in (tmp_path / "man1").iterdir()}
    assert names == {"iotonboard", *(f"iotonboard-{name.replace(' ', '-')}" for name in COMMANDS)}
    page = (tmp_path / "man1" / "iotonboard-revoke.1").read_text(encoding="utf-8")
    for option in COMMANDS["revoke"].params:
        assert all(name.replace("-", "\\-") in page for name in option.opts if name.startswith("--"))
    assert ".SH SYNOPSIS\n.B iotonboard revoke" in page
    assert [line for line in page.splitlines() if line.startswith("'")] == []


def test_man_pages_go_with_no_verb(tmp_path: Path) -> None:
    assert "--man" in run_cli("help", "revoke", "--man", tmp_path / "man", expect=2).stderr
    assert not (tmp_path / "man").exists()
