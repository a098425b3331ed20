"""Commands and groups whose help is the program's own, and which know what was meant by a mistyped verb."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from iotonboard.cli.general_options import refuse_placeholders, refuse_two_ways
from iotonboard.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable


class VerbCommand(TyperCommand):
    """A verb."""

    def invoke(self, ctx: Any) -> Any:
        """Run it, with options that go together."""
        refuse_two_ways(ctx)
        refuse_placeholders(ctx)
        return super().invoke(ctx)

    def get_help(self, ctx: Any) -> str:
        """The page of ``--help``."""
        return _page(self, ctx)


class HelpfulGroup(TyperGroup):
    """A verb that has verbs of its own below it; called alone it shows them."""

    def get_help(self, ctx: Any) -> str:
        """The page of ``--help``."""
        return _page(self, ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that was typed.

        Raises:
            UsageError: there is no such; the hint names one that is spelled alike.
        """
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            name = f"{ctx.command_path} {args[0]}".removeprefix("iotonboard ")
            raise UsageError(
                f"there is no verb {name!r}", hint=meant(args[0], self.list_commands(ctx), f"{ctx.command_path} --help")
            )
        return super().resolve_command(ctx, args)


def verbs_below(app: Any, words: Iterable[str]) -> list[str]:
    """The verbs below a verb that ``words`` name; none below most."""
    command: Any = get_group(app)
    context = typer.Context(command)
    for word in words:
        command = command.get_command(context, word) if isinstance(command, TyperGroup) else None
    return list(command.list_commands(context)) if isinstance(command, TyperGroup) else []


def meant(typed: str, names: Iterable[str], shown_by: str = "iotonboard --help") -> str:
    """What to type instead of a word that is none of ``names``, which a call shows."""
    return did_you_mean(typed, names, f"'{shown_by}' shows what there is")


def _page(command: Any, context: Any) -> str:
    from iotonboard.cli.help_text import page_of, render

    return render(page_of(command, context), context).rstrip()
