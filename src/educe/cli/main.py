"""The command's entry: finds subcommands when they are called, and turns errors into one line and an exit code.

Exit codes: 0 for success, 2 for a usage error, 1 for every other failure, 130 after a second Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

__all__ = ["cli", "main"]

# Subcommands import torch and models; loading them on call keeps `educe --help` quick.
COMMANDS = {
    "ask": "educe.cli.ask:ask",
    "bench": "educe.cli.bench:bench",
    "doctor": "educe.cli.doctor:doctor",
    "methods": "educe.cli.methods:methods",
    "models": "educe.cli.models:models",
    "papers": "educe.cli.papers:papers",
    "read": "educe.cli.papers:read",
    "run": "educe.cli.papers:run",
    "serve": "educe.cli.serve:serve",
    "site": "educe.cli.serve:site",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from educe.core.errors import nearest

            raise click.UsageError(f"Command {args[0]!r} is unknown; {nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in sorted(COMMANDS)])


SUMMARIES = {
    "ask": "Answer a question, or many, and say how sure the answer is.",
    "bench": "Compare methods with the plain vote at equal cost.",
    "doctor": "Check this installation and say what to mend.",
    "methods": "List the methods and their options.",
    "models": "List, fetch and remove models.",
    "papers": "List the sixty papers and what runs here.",
    "read": "Show one paper: its claim, our summary, what we measured.",
    "run": "Run a paper's reproduction.",
    "serve": "Serve the page and the API.",
    "site": "Look after the page's database.",
}


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="educe", message="educe %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Inference methods from sixty papers: ask a question with any of them, on any language model, under a budget.

    \b
    educe ask "How many legs do three spiders have?" --method self-consistency --budget samples=16
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        The process's own when left out.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    # `--debug` is wanted where the error is, which is often after the subcommand.
    given = [*(["--debug"] if debug else []), *(item for item in given if item != "--debug")]
    try:
        code = cli.main(given, prog_name="educe", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        _say("interrupted.")
        sys.exit(130)
    except KeyboardInterrupt:
        _say("interrupted.")
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone; point stdout elsewhere so that the interpreter's last flush does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        sys.exit(_report(error))


def _report(error: Exception) -> int:
    from educe.core.errors import EduceError

    if isinstance(error, click.ClickException):
        context: Any = getattr(error, "ctx", None)
        hint = f" Try `{context.command_path} --help`." if context is not None else ""
        _say(f"{' '.join(error.format_message().split())}{hint}")
        return 2 if isinstance(error, click.UsageError) else 1
    if isinstance(error, EduceError):
        _say(" ".join(str(error).split()))
        return error.exit_code
    if isinstance(error, ModuleNotFoundError) and not (error.name or "educe").startswith("educe"):
        _say(f"This needs the package {error.name}, which is not installed. Run: pip install 'educe[science,figures]'")
        return 2
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        _say(f"{error.strerror or error}{where}. Free space or choose another place, then run the same command again.")
        return 1
    _say(f"{type(error).__name__}: {' '.join(str(error).split())} This is a defect of educe; --debug shows where.")
    return 1


def _say(message: str) -> None:
    print(f"educe: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
