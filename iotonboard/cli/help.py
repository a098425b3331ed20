"""The verb ``help``: all that is written about the program, without a network."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from iotonboard.cli.help_command import VerbCommand, meant
from iotonboard.errors import NotFoundError, UsageError

app = typer.Typer()


def complete_word(incomplete: str) -> list[str]:
    """Verbs and topics."""
    from iotonboard.cli.app import VERBS
    from iotonboard.cli.guide import topics

    return [word for word in (*VERBS, *topics(), "options") if word.startswith(incomplete)]


@app.command(
    "help",
    cls=VerbCommand,
    epilog="Example: iotonboard help officer",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def show_help(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[VERB|TOPIC]", help="A verb, a topic, or options.", autocompletion=complete_word),
    ] = None,
    man: Annotated[str | None, typer.Option("--man", metavar="DIR", help="Write a man page of every verb.")] = None,
) -> None:
    """Show the overview, one verb at length, or a page of the guide.

    Topics: first-day, scripts, settings, formats, hand-over, officer, brokers, years, air-gap, security, regulations,
    promises, performance, design.
    """
    from iotonboard.cli.app import VERBS
    from iotonboard.cli.guide import TOPICS, show_page

    if man is not None:
        from iotonboard.cli.man_pages import write_man_pages

        if words:
            raise UsageError("--man writes all pages", hint="name a folder, and no verb")
        typer.echo(f"{write_man_pages(context.find_root(), man)} man pages written to {man}")
        return
    first, *rest = words or [""]
    if first in TOPICS and not rest:
        show_page(first)
    elif first == "options":
        typer.echo(_general_options(context.find_root()))
    elif not first or first in VERBS:
        typer.echo(_page(context.find_root(), [first, *rest] if first else []))
    else:
        raise NotFoundError(f"there is no verb and no topic {first!r}", hint=meant(first, (*VERBS, *TOPICS)))


def _page(context: Any, words: list[str]) -> str:
    """The help of the verb that ``words`` name; the overview for none."""
    for word in words:
        command = context.command
        below = command.get_command(context, word) if hasattr(command, "get_command") else None
        if below is None:
            names = command.list_commands(context) if hasattr(command, "list_commands") else ()
            raise NotFoundError(
                f"there is no verb {' '.join(words)!r}", hint=meant(word, names, f"{context.command_path} --help")
            )
        context = type(context)(below, info_name=word, parent=context)
    return str(context.get_help())


def _general_options(context: Any) -> str:
    from iotonboard.cli.help_text import coloured, general_options, text_width

    command = context.command.get_command(context, "list")
    formatter = context.make_formatter()
    formatter.width = text_width()
    with formatter.section("Options of every verb that works on a state"):
        formatter.write_dl(general_options(command, type(context)(command, info_name="list", parent=context)))
    return coloured(str(formatter.getvalue())).rstrip()
