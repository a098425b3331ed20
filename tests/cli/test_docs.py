"""What README and guide say is what the program does: commands, options and the run-through."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.program import PROJECT, State, program_environment
from support.tools import need_module

README = PROJECT / "README.md"
GUIDE = sorted((PROJECT / "iotonboard" / "guide").glob("*.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is a command on the workstation of an operator, and not here.
ELSEWHERE = re.compile(r"/media/|\.\.\.|XXXX")


def load_group() -> Any:
    from iotonboard.cli.app import app
    from typer.main import get_command

    return get_command(app)


def verb_names() -> list[str]:
    group = load_group()
    return list(group.list_commands(None))


def parse(words: list[str]) -> None:
    """Let the program's own parser read a command line, without running it."""
    command, name = load_group(), "iotonboard"
    context = None
    while hasattr(command, "get_command"):
        if words[:1] in (["--version"], ["--help"], ["--install-completion"], ["--show-completion"]):
            return
        following = command.get_command(context, words[0]) if words else None
        assert following is not None, f"{name} has no verb {words[:1]}"
        command, name, words = following, f"{name} {words[0]}", words[1:]
    if "--help" in words:
        return
    command.make_context(name, list(words))


def commands_in(text: str) -> list[str]:
    """Every ``iotonboard ...`` command line of a shell text, continuation lines joined, comments cut."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        for piece in re.split(r"&&|\|\||;|(?<!\\)\||\$\(|\)", line.strip().removeprefix("$ ")):
            words = re.sub(r"(?:^|\s)#\s.*$|\s*&?[<>]+.*$", "", piece).strip()
            match = re.match(r"(?:\S*=\S*\s+|exec\s+)*(?:\S*/)?iotonboard\s+(.*)", words)
            if match:
                found.append(match.group(1))
    return found


def documented() -> list[tuple[str, str]]:
    """(where, command line) of every command in the documents and examples."""
    found = []
    for path in [README, *GUIDE]:
        for language, block in BLOCK.findall(path.read_text(encoding="utf-8")):
            if language == "console":  # the other lines are what was printed
                joined = block.replace("\\\n", " ").splitlines()
                block = "\n".join(line for line in joined if line.startswith("$ "))  # noqa: PLW2901
            if language in ("sh", "console", "bash"):
                found += [(path.name, line) for line in commands_in(block)]
    for path in sorted((PROJECT / "examples").rglob("*.sh")):
        found += [(path.name, line) for line in commands_in(path.read_text(encoding="utf-8"))]
    return found


DOCUMENTED = documented()


def test_commands_are_found_in_a_text() -> None:
    text = "$ iotonboard list --json | head # all\nA=1 iotonboard gen-crl && x/iotonboard show \\\n  a >out\n"
    text += "# iotonboard no\nexit 1 # iotonboard no\n"
    assert commands_in(text) == ["list --json", "gen-crl", "show    a"]
    assert len([where for where, _ in DOCUMENTED if where == "first-day.md"]) >= 8


@pytest.mark.parametrize(("where", "line"), DOCUMENTED, ids=[f"{where}: {line}"[:70] for where, line in DOCUMENTED])
def test_a_documented_command_is_one(where: str, line: str) -> None:
    words = shlex.split(line)
    if any(word.startswith("$") or "$@" in word for word in words[:1]):
        pytest.skip(f"{where} computes this one")
    parse(words)


@pytest.mark.parametrize("verb", verb_names())
def test_the_example_in_a_help_text_is_a_command(verb: str) -> None:
    group = load_group()
    command = group.get_command(None, verb)
    inner = [command.get_command(None, name) for name in getattr(command, "commands", {})]
    for each in (command, *inner):
        lines = commands_in((each.epilog or "").replace("Example: ", "\n"))
        assert lines, f"{each.name} has no example"
        for line in lines:
            parse(shlex.split(line))


def hints_in_the_source() -> list[tuple[str, str]]:
    """Commands that messages tell people to type: ``'iotonboard ...'`` and ``type: iotonboard ...``."""
    found = []
    for path in sorted((PROJECT / "iotonboard").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for quoted in re.findall(r"'iotonboard ([^']+)'|(?:type|next): iotonboard ([\w -]+)", node.value):
                    found.append((path.relative_to(PROJECT).as_posix(), "".join(quoted)))
    return found


HINTS = hints_in_the_source()


@pytest.mark.parametrize(("where", "line"), HINTS, ids=[f"{where}: {line}"[:80] for where, line in HINTS])
def test_a_command_in_a_hint_is_one(where: str, line: str) -> None:
    """At least its verb and its options are there; the rest of the line may come from what was typed."""
    words = line.split()
    group = load_group()
    command = group.get_command(None, words[0])
    assert command is not None, f"{where} tells people to type a verb that is not there: {line}"
    for word in words[1:]:
        if not hasattr(command, "commands") or word.startswith("-"):
            break
        command = command.get_command(None, word)
        assert command is not None, f"{where}: {line}"
    options = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    for word in words:
        if word.startswith("--"):
            assert word.rstrip(",.") in options, f"{where} names {word}, which {words[0]} does not have"


def test_every_option_that_the_documents_name_exists() -> None:
    group = load_group()
    options = {"--help", "--version", "--install-completion", "--show-completion"}
    for verb in verb_names():
        command = group.get_command(None, verb)
        for each in (command, *(command.get_command(None, name) for name in getattr(command, "commands", {}))):
            options |= {option for parameter in each.params for option in parameter.opts}
    prose = BLOCK.sub("", "\n".join(path.read_text(encoding="utf-8") for path in (README, *GUIDE)))
    named = {
        word for span in re.findall(r"`([^`\n]+)`", prose) for word in re.findall(r"(?<![\w-])--[a-z][a-z-]+", span)
    }
    # Options of other programs: pip, mosquitto, valgrind, and the project's own scripts.
    foreign = {
        "--quick",
        "--states",
        "--peers-dir",
        "--require-hashes",
        "--find-links",
        "--no-index",
        "--test-config",
        "--long",
        "--tool",
        "--cache-sim",
    }
    assert named - foreign <= options


def test_the_guide_names_every_verb() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in GUIDE)
    assert [verb for verb in verb_names() if f"`{verb}" not in text and f"iotonboard {verb}" not in text] == []


def test_the_readme_is_short_and_links_every_page_of_the_guide() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= 160
    assert [path.stem for path in GUIDE if f"(iotonboard/guide/{path.name})" not in text] == []
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_every_page_of_the_guide_is_a_topic() -> None:
    from iotonboard.cli.guide import TOPICS

    assert sorted(TOPICS) == [path.stem for path in GUIDE]
    text = "\n".join(path.read_text(encoding="utf-8") for path in (README, *GUIDE))
    named = set(re.findall(r"`iotonboard help ([a-z][a-z-]*)`", text))
    assert named <= {*TOPICS, *verb_names(), "options"}


def test_the_exit_codes_in_the_guide_are_the_programs() -> None:
    from iotonboard import errors

    text = (PROJECT / "iotonboard" / "guide" / "scripts.md").read_text(encoding="utf-8")
    named = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    raised = {each.exit_code for each in vars(errors).values() if hasattr(each, "exit_code")}
    assert named >= raised | {0, 130}


def test_the_settings_in_the_guide_are_the_programs() -> None:
    from iotonboard.state.config import PLAIN_NAMES, SETTINGS

    text = (PROJECT / "iotonboard" / "guide" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z_]+)` \| `(\w+)` \| `?([^|`]+)", text, re.MULTILINE)
    assert [name for name, _, _ in rows] == list(PLAIN_NAMES)
    for name, key, default in rows:
        assert key == name.lower()
        assert default.split()[0] == str(SETTINGS[key].default)


@pytest.mark.parametrize("document", ["README.md", "iotonboard/guide/first-day.md"])
def test_the_run_through_works_as_it_is_written(document: str, tmp_path: Path) -> None:
    """A newcomer types the first day's commands, one after the other, in a fresh folder."""
    day = (PROJECT / document).read_text(encoding="utf-8")
    lines = [line for language, block in BLOCK.findall(day) if language == "console" for line in block.splitlines()]
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and not ELSEWHERE.search(line)]
    assert len(typed) >= 7
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "iotonboard").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m iotonboard "$@"\n')
    (folder / "iotonboard").chmod(0o755)
    (tmp_path / "devices.csv").write_bytes((PROJECT / "examples" / "devices.csv").read_bytes())
    environment = program_environment()
    done = subprocess.run(
        ["/bin/sh", "-exc", "\n".join(typed)],
        env={**environment, "PATH": f"{folder}{os.pathsep}{environment['PATH']}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


HEAD = re.compile(r"--head \S+")


@pytest.mark.parametrize("page", ["hand-over", "officer", "years"])
def test_the_commands_of_a_page_work_one_after_the_other(page: str, state: State, tmp_path: Path) -> None:
    """As they are written, but for places and for what a device reported; 9 is what a check found."""
    text = (PROJECT / "iotonboard" / "guide" / f"{page}.md").read_text(encoding="utf-8")
    text = text.partition("## Keeping the state safe")[2] or text  # what comes before is typed beside a broker
    lines = [line for language, block in BLOCK.findall(text) if language == "console" for line in block.splitlines()]
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and "# when" not in line]
    assert len(typed) >= 6
    if page == "hand-over":
        need_module("segno")
    state.register("press-17", "press-18", "oven-4")
    usb, metrics = tmp_path / "usb", tmp_path / "metrics"
    usb.mkdir()
    metrics.mkdir()
    (usb / "crl.pem").write_bytes(state.crl.read_bytes())
    (tmp_path / "device.crt").write_bytes((state.device("press-18") / "device.crt").read_bytes())
    (tmp_path / "devices.csv").write_text("device_id\npress-18\noven-4\n")
    fingerprint = state.json("show", "press-17")["certificates"][0]["fingerprint"]
    for line in typed:
        words = line.replace("/media/usb", str(usb)).replace("/var/lib/node_exporter", str(metrics))
        words = HEAD.sub(lambda _: f"--head {state.json('audit', 'head')['head']}", words)
        words = words.replace("5F:1D:...", fingerprint)
        state.run(*shlex.split(words, comments=True)[1:], cwd=tmp_path, expect=(0, 9))


def test_security_comes_first_in_the_changelog() -> None:
    """So whoever updates in the air gap reads it first."""
    versions = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1:]
    assert versions
    for version in versions:
        sections = re.findall(r"^### (\w+)$", version, re.MULTILINE)
        order = ["Security", "Added", "Changed", "Deprecated", "Removed", "Fixed"]
        assert sections == sorted(sections, key=order.index)
        assert len(sections) == len(set(sections))
