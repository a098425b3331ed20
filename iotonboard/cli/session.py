"""What every verb shares: its common options, and the clock, environment, operator and passphrase behind them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import shlex
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from iotonboard.cli import left_over, output
from iotonboard.cli.general_options import COMMON, DEFAULT_STATE, OF_A_STATE
from iotonboard.cli.help_command import HelpfulGroup, VerbCommand
from iotonboard.cli.person import confirm, host, operator, tell_if_open
from iotonboard.cli.process import take_environment
from iotonboard.cli.settings_problems import database_lines, problem_lines, refuse_problems, trust_of, unsealed_lines
from iotonboard.errors import IotOnboardError, UnpublishedError
from iotonboard.model import Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from iotonboard.ca.authority import Authority, Unlock
    from iotonboard.ca.passphrase import Passphrase
    from iotonboard.disk.owner import Owner
    from iotonboard.errors import Unpublished
    from iotonboard.model import Refused
    from iotonboard.state.clock import ClockReading
    from iotonboard.state.config import Config
    from iotonboard.state.opened_cas import Opened
    from iotonboard.state.reload import Reload
    from iotonboard.state.state import State

_FIRST, _LAST = datetime(1952, 1, 1, tzinfo=UTC), datetime(9800, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Session:
    """One call of one verb: the common options, resolved."""

    command: str
    root: str
    json: bool
    quiet: bool
    verbose: bool
    passphrase_file: str | None
    share_file: Sequence[str] | None
    environment: Mapping[str, str]
    added_ca: str | None = None
    asked: list[Passphrase] = field(default_factory=list, repr=False)

    @property
    def caller(self) -> Caller:
        """Who runs the program, for the audit trail."""
        return Caller(operator(self.environment), host(self.environment), self.command)

    @property
    def has_state(self) -> bool:
        """Say whether a state directory was named, or stands where it is looked for unnamed."""
        return self.root != DEFAULT_STATE or os.path.isdir(self.root)

    @contextlib.contextmanager
    def open_state(self, *, is_urgent: bool = False) -> Iterator[State]:
        """Open the state directory for the time of the command.

        What earlier calls left to the next one is done first, and by an ``is_urgent`` command at its end: before it
        has recorded, it looks at no file.

        Raises:
            PolicyError: a setting of the environment is not allowed, or the file cannot be read and nothing is sealed.
            StateError: the sealed settings were changed by somebody who cannot sign them, and the command issues.
            PolicyError: a root has nothing for the command to do, or it certifies before a root's answer is here.
        """
        from iotonboard.state.state import open_state

        left_over.refuse_office(self.root, self.command)
        self.work_as_owner()
        (holds, verifies), past = trust_of(self.command)
        place = self.root, self.environment, self.caller, clock
        with open_state(*place, holds=holds, verifies=verifies, past=past) as state:
            if moved := ", ".join(map(repr, state.store.moved_aside)):
                self.message(f"warning: what is not of this database lay beside it, and was moved aside: {moved}")
            if state.config.differing and holds is not None:
                from iotonboard.state.settings_file import finish_writing

                state = finish_writing(state, self.environment, holds)  # noqa: PLW2901 - the same one, read again
            refuse_problems(self.command, state.config)
            left_over.refuse_at_this_kind(self.command, state)
            self.tell_problems(state.config)
            self.tell_if_open(state.paths.root)
            trusted = self._tell_if_disputed(state).trusted
            if not is_urgent:
                left_over.finish_earlier_calls(state, trusted)
            watched = left_over.plant_watched(self.command, state.store, trusted, self.message)
            with watched, left_over.opened_alone(self.command, state, self.added_ca) as meant:
                yield meant
            if is_urgent:
                with contextlib.suppress(IotOnboardError):  # what this call did is told; the next one tries it again
                    left_over.finish_earlier_calls(state, trusted)
            for line in database_lines(state.store):
                self.message(f"warning: {line}")

    @contextlib.contextmanager
    def open_all(self, *, is_urgent: bool = False) -> Iterator[Opened]:
        """As ``open_state``, with the CAs that were added to the state, each opened where one is meant."""
        from iotonboard.state.opened_cas import opened

        with self.open_state(is_urgent=is_urgent) as state, opened(state) as cas:
            yield cas

    def work_as_owner(self) -> None:
        """As root in somebody else's state, be the owner of that state from now on, wherever the owner can work."""
        from iotonboard.disk.owner import left_by_root, other_owner, work_as

        owner = other_owner(self.root)
        if owner is None or os.geteuid() != 0:
            return
        mend = f"type: chown -R {owner.uid}:{owner.gid} {shlex.quote(os.path.abspath(self.root))}"
        if left := left_by_root(self.root):
            self.message(
                f"warning: {left!r} is root's, so that {owner.name!r}, whose state this is, is shut out; {mend}"
            )
            return
        words = (word for word in sys.argv[1:] for word in (word, word.partition("=")[2]))
        try:
            work_as(owner, self.root, (word for word in words if word and word != self.root))
        except OSError as error:
            reason = f"this call cannot be {owner.name!r}, whose state this is ({error.strerror})"
            self.message(f"warning: {reason}: what it writes is root's; {mend}")

    def _runs_commands_as(self) -> Owner | None:
        """Who runs what the settings of this state say: not root, unless root trusts the state by its name."""
        from iotonboard.disk.owner import is_trusted, other_owner

        named = self.environment.get("IOTONBOARD_TRUSTED_STATES", "").split(os.pathsep)
        return None if is_trusted(self.root, named) else other_owner(self.root)

    def _tell_if_disputed(self, state: State) -> ClockReading:
        reading = state.note_dispute()
        if reading.dispute and self.command not in ("accept-clock", "health"):  # which say it by themselves
            self.message(f"warning: {reading.dispute.message}; only revocations are signed ({reading.dispute.hint})")
        return reading

    def tell_problems(self, settings: Config) -> None:
        """Say what is wrong with the settings, and that the file is not followed where it differs."""
        for line in problem_lines(settings):
            self.message(f"warning: {line}")

    def unlock(self, state: State, passphrase: Passphrase | None = None) -> Authority:
        """Open the CA key with ``passphrase``, or with that from file, environment or terminal."""
        from iotonboard.ca.authority import unlock

        state.store.check_writable()  # every use of the key is recorded
        authority = unlock(state, self.passphrase_of(state) if passphrase is None else passphrase)
        list(map(self.message, unsealed_lines(state)))
        if state.config.recorded.sealed is None and not state.config.file.problems:
            self.message(
                "the settings of this state, of an earlier version, are sealed now as they stand: a settings file that"
                " somebody edits from now on is followed after 'iotonboard config accept'"
            )
        return authority

    def passphrase_of(self, state: State) -> Passphrase | None:
        """Find the passphrase of a state's CA key; ``None`` where the key has none.

        Where one is named all the same, that is told: another CA may have been put in this one's place.

        Raises:
            KeyUnavailableError: none was given and nobody is there to ask, or it is not usable.
        """
        from iotonboard.cli.passphrases import passphrase_of

        return passphrase_of(self, state)

    def unlocker(self, state: State) -> Unlock:
        """What a command opens the CA key with, once its input was checked; who is asked is asked once."""
        return functools.cache(functools.partial(self.unlock, state))

    def reloader(self, state: State, *, wanted: bool, signs_first: bool = False) -> Reload | None:
        """What a command reloads the broker with, where that is wanted; what was seen is told.

        Raises:
            UsageError: nothing is configured, and the command does not even sign then (``signs_first``).
        """
        if not wanted:
            return None
        if signs_first:
            from iotonboard.broker.reload_method import parse_method

            parse_method(state.config["broker.reload"])

        def reload() -> None:
            from iotonboard.state.reload import reload_configured

            self.message(reload_configured(state, as_user=self._runs_commands_as()))

        return reload

    def ask_passphrase(self) -> Passphrase:
        """Find the passphrase of the CA key.

        Raises:
            KeyUnavailableError: none was given and nobody is there to ask, or it is not usable.
        """
        return self.read_passphrase("CA passphrase")

    def new_passphrase(self, *, weak: bool, whose: str = "") -> Passphrase:
        """Find the passphrase that a CA key shall get: as ``read_passphrase``, and one that is not soon guessed.

        ``whose`` is said where it is asked for.

        Raises:
            PolicyError: it is too short or too common, and ``weak`` does not take it all the same.
        """
        from iotonboard.ca.passphrase import check_strength

        check = bool if weak else check_strength
        passphrase = self.read_passphrase(f"New CA passphrase{whose}", repeat=True, check=check)
        check(passphrase)
        return passphrase

    def read_passphrase(
        self, prompt: str, *, repeat: bool = False, check: Callable[[Passphrase], object] = bool
    ) -> Passphrase:
        """Find the passphrase: shares, file, environment, then a prompt on a terminal.

        Raises:
            KeyUnavailableError: none was given and nobody is there to ask, or it is not usable.
        """
        from iotonboard.cli.passphrases import find_passphrase

        place = self.share_file or self.passphrase_file, self.environment
        return find_passphrase(*place, prompt, repeat=repeat, tell_if_open=self.tell_if_open, check=check)

    def tell_key_file(self, path: str | None) -> None:
        """Say how the next commands find a passphrase file that was made."""
        if path is not None:
            self.message(f"next: export IOTONBOARD_PASSPHRASE_FILE={shlex.quote(os.path.abspath(path))}")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask a person whether to do what cannot be taken back, unless ``--yes`` said so; a script is never asked.

        Raises:
            UsageError: the answer is not ``yes``.
        """
        if not (yes or self.json):
            confirm(question)

    def tell_if_open(self, path: str) -> None:
        """Say so where others may use a file or folder that should be private."""
        tell_if_open(path, self.message)

    def result(self, values: Mapping[str, object], text: str, *, unpublished: Sequence[Unpublished] = ()) -> None:
        """Print a result: as JSON, with what of it is not published, or as text for people."""
        if self.json:
            more = {"unpublished": output.unpublished_values(unpublished)} if unpublished else {}
            output.write_json(self.command, {**values, **more})
        else:
            output.write_line(text)

    def refusal(self, refused: Refused, *, is_json: bool | None = None) -> None:
        """Say that a device was refused: on stderr, and among results that are JSON in its place too."""
        if self.json if is_json is None else is_json:
            values = {"device_id": refused.device_id, "line": refused.line, "status": "failed"}
            output.write_json(self.command, {**values, "error": output.error_values(refused.error)})
        output.write_error(refused.message, refused.error.hint)

    def message(self, text: str) -> None:
        """Tell people something that is not the result."""
        if not self.quiet:
            output.write_message(f"iotonboard: {text}")


def clock() -> datetime:
    """The time now, aware UTC, in whole seconds; of years that certificates and a century around them can have."""
    return min(max(datetime.now(UTC), _FIRST), _LAST).replace(microsecond=0)


def group(name: str, about: str, *, example: str) -> typer.Typer:
    """A verb that has verbs of its own below it; called without one of them it shows them."""
    app = typer.Typer(
        name=name,
        cls=HelpfulGroup,
        rich_markup_mode=None,
        invoke_without_command=True,
        subcommand_metavar="VERB ...",
        add_completion=False,
    )

    @app.callback(help=about, epilog=f"Example: {example}")
    def overview(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return app


def verb(
    app: typer.Typer, name: str, *, example: str, needs_state: bool = True
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Register a handler under ``name`` and give it the common options, handed over as a ``Session``."""
    command = f"{app.info.name} {name}" if isinstance(app.info.name, str) else name
    general = {key: given for key, given in COMMON.items() if needs_state or key not in OF_A_STATE}

    def decorate(handler: Callable[..., int | None]) -> Callable[..., int | None]:
        signature = inspect.signature(handler, eval_str=True)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != "session"]
        has_own_ca = any(parameter.name == "ca" for parameter in own)  # a file: these verbs are for brokers
        common = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for key, (annotation, default) in general.items()
            if not (has_own_ca and key == "added_ca")
        ]
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + common

        @functools.wraps(handler)
        def run(**values: Any) -> int | None:
            given = {key: values.pop(key, default) for key, (_, default) in COMMON.items()}
            root = given.pop("state")
            if given.pop("plain"):
                output.use_plain()
            session = Session(command, root, environment=take_environment(), **given)
            try:
                with output.open_disks_told(session.message):
                    return handler(session, **values)
            except UnpublishedError as error:
                if session.json and not output.has_answered():  # else a result has told it
                    output.write_json(command, {"unpublished": output.unpublished_values(error.unpublished)})
                raise
            except KeyboardInterrupt:  # which typer would end without a word
                raise typer.Abort from None
            except BrokenPipeError:  # the reader went away (head, less); what was committed stays
                output.discard(sys.stdout)
                return 128 + getattr(signal, "SIGPIPE", 13)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {}  # the signature has them, evaluated; typer would evaluate these three times more
        settings = {"help_option_names": ["-h", "--help"]}
        app.command(name, cls=VerbCommand, epilog=f"Example: {example}", context_settings=settings)(run)
        return handler

    return decorate
