"""The command line: one thin function a command, imported when it is called.

This module only knows the commands' names and one line of help each, so that ``automl --help``
imports nothing heavy. :func:`main` turns every outcome into an exit code: results go to stdout,
progress and errors to stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import click

from automl import __version__
from automl.errors import AutomlError, RunInterruptedError, did_you_mean

__all__ = ["COMMANDS", "cli", "main"]


class Entry(NamedTuple):
    """Where a command is, and its line in ``automl --help``."""

    target: str
    help: str


COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "run": Entry("automl.cli.run:run", "Find the best model that meets a spec."),
        "plan": Entry("automl.cli.plan:plan", "Say what could meet a spec, before any training."),
        "resume": Entry("automl.cli.resume:resume", "Finish an interrupted run."),
        "batch": Entry("automl.cli.batch:batch", "Run many specs, one after the other."),
        "submit": Entry("automl.cli.submit:submit", "Run specs on a cluster that is elsewhere."),
        "status": Entry("automl.cli.status:status", "Say how far a run is."),
        "report": Entry("automl.cli.report:report", "Write the report of a run again."),
        "predict": Entry("automl.cli.predict:predict", "Answer images with a bundle."),
        "verify": Entry("automl.cli.verify:verify", "Check a bundle's claims on this machine."),
        "validate": Entry("automl.cli.validate:validate", "Check a spec; name every mistake."),
        "schema": Entry("automl.cli.schema:schema", "Print the JSON Schema of a spec."),
        "audit": Entry("automl.cli.audit:audit", "Check images, splits and labels of a spec."),
        "init": Entry("automl.cli.init:init", "Write a first spec for a folder of images."),
        "examples": Entry("automl.cli.examples:examples", "List or copy the specs that ship."),
        "devices": Entry("automl.cli.devices:devices", "List machines that a model could run on."),
        "agent": Entry("automl.cli.agent:agent", "Measure here the models of another machine."),
        "doctor": Entry("automl.cli.doctor:doctor", "Say what this machine has and lacks."),
    }
)

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for plugins takes 25 ms

_INTERRUPTED = 130
_TERMINATED = 143
_DEFECT = 1
_GRACE_S = 8.0
"""A node that is taken away gives some seconds: what has not ended in good order by then ends at once."""


@dataclass
class _Session:
    """What the options before the command say."""

    debug: bool
    stopped_by: int | None = None
    """SIGINT: Ctrl-C; SIGTERM: a node is taken away, a service is stopped."""
    code: int | None = None
    """The exit code, once the command has ended."""

    @property
    def stop_code(self) -> int:
        """The exit code when a signal ended the command."""
        return _TERMINATED if self.stopped_by == signal.SIGTERM else _INTERRUPTED

    @contextlib.contextmanager
    def listening(self, *, closing: bool) -> Iterator[None]:
        """End in good order on SIGTERM and Ctrl-C, so that what is finished is kept and told.

        What takes too long after the first signal, or gets a second one, ends at once.

        Args:
            closing: whether the process ends after the block. A signal then changes nothing about what
                the command came to: it ends the process at once, with the command's exit code.
        """

        def end(number: int, _: object) -> None:
            if self.stopped_by is not None:
                self._end_at_once("Stopped at once. ")
            self.stopped_by = number
            timer = threading.Timer(_GRACE_S, self._end_in_time)
            timer.daemon = True
            timer.start()
            raise KeyboardInterrupt

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        heard = [number for number in before if before[number] is not signal.SIG_IGN]  # nohup
        for number in heard:
            signal.signal(number, end)
        try:
            yield
        finally:
            _flush()  # what ends the process at once from now on does not
            for number in heard:
                signal.signal(number, self._close if closing else before[number])

    def _close(self, number: int, _: object) -> None:
        self._end_process(_DEFECT if self.code is None else self.code)

    def _end_in_time(self) -> None:
        if self.code is not None:  # it ended as if there had been no signal, and closes slowly
            self._end_process(self.code)
        self._end_at_once("", keep=True)

    def _end_at_once(self, why: str, *, keep: bool = False) -> None:
        """Say that the command was interrupted and end the process.

        Args:
            keep: whether there is time to keep how far a run is; its results are whole anyway.
        """
        with contextlib.suppress(Exception):  # whatever it is, the process ends now
            said = _last_words() if keep else ""
            os.write(2, f"Interrupted. {why}{said}".rstrip().encode() + b"\n")
        self._end_process(self.stop_code)

    @staticmethod
    def _end_process(code: int) -> None:
        """End this process and all that it started, without going back through what they do."""
        import psutil

        from automl.search.reaper import is_watcher

        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if not is_watcher(process):
                    process.kill()
        os._exit(code)


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(_unknown(name), ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 defect, 2 spec or command line, 3 not attainable, 4 data, "
    "5 storage, 130 interrupted.",
)
@click.version_option(__version__, prog_name="automl")
@click.option("--debug", is_flag=True, help="Show tracebacks (also: AUTOML_DEBUG=1).")
@click.pass_obj
def cli(session: _Session | None, debug: bool) -> None:
    """State requirements in a spec, get the best vision model that was measured to fit them."""
    if session is not None and debug:
        session.debug = True


def main(args: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        args: the command line without the program's name; default: this process's own. The process
            is then taken to end afterwards: a signal that still comes ends it at once with that code.
    """
    session = _Session(debug=os.environ.get("AUTOML_DEBUG", "") not in ("", "0"))
    with session.listening(closing=args is None):
        session.code = _outcome(session, args)
    return session.code


def _outcome(session: _Session, args: Sequence[str] | None) -> int:
    try:
        arguments = None if args is None else list(args)
        outcome = cli.main(arguments, prog_name="automl", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except SystemExit as stop:  # how a command ends with an exit code of its own
        return stop.code if isinstance(stop.code, int) else _DEFECT if stop.code else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort, RunInterruptedError) as error:
        click.echo(f"Interrupted. {error}".rstrip(), err=True)
        # Python ends itself by SIGINT when an interrupt ever left an exec(), as that of a dataclass
        # being imported, even if it was caught; another exec() clears the mark (pythonrun.c).
        exec("")
        return session.stop_code
    except AutomlError as error:
        _show_traceback(session)
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`automl … | head`): nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _DEFECT
    except Exception as error:  # noqa: BLE001 - the last resort: recorded, and told to the user
        return _report_storage(error, session) or _report_defect(error, session)
    return outcome if isinstance(outcome, int) else 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
            stream.flush()


def _unknown(name: str) -> str:
    if name.lower().endswith((".yaml", ".yml")):
        return f"'{name}' is not a command. Did you mean 'automl run {name}'?"
    return f"Unknown command {name!a}.{did_you_mean(name, COMMANDS)}"


def _show_traceback(session: _Session) -> None:
    if session.debug:
        import traceback

        click.echo(traceback.format_exc(), err=True)


def _last_words() -> str:
    """Return what the run under way says at its end, if there is one; nothing is imported for it."""
    module = sys.modules.get("automl.pipeline.last_words")
    return "" if module is None else str(module.speak())


def _report_storage(error: Exception, session: _Session) -> int:
    """Tell that a disk is full, read-only or gone, if that is what happened; else return 0."""
    from automl.storage import storage_error

    failure = storage_error(error)
    if failure is None:
        return 0
    _show_traceback(session)
    click.echo(f"Error: {failure} Make room, then try again.", err=True)
    return failure.exit_code


def _report_defect(error: Exception, session: _Session) -> int:
    """Tell of a defect in one line; the traceback is shown, or kept in a file of the cache."""
    import traceback

    text = "".join(traceback.format_exception(error))
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    if session.debug:
        click.echo(f"{text}Error: this is a defect of automl: {what}", err=True)
        return _DEFECT
    try:
        path = _keep(text)
    except OSError as failure:
        click.echo(text, err=True)
        place = f"The traceback is above ({failure})."
    else:
        place = f"The traceback is in {path}; '--debug' shows it."
    click.echo(f"Error: this is a defect of automl: {what}\n{place}", err=True)
    return _DEFECT


def _keep(text: str) -> Path:
    import tempfile

    from automl.storage import cache_folder

    handle, name = tempfile.mkstemp(dir=cache_folder("tracebacks"), suffix=".txt", text=True)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
    return Path(name)
