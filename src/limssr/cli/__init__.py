"""The command line: `limssr VERB`. Verbs only; each calls one library function.

Exit codes: 0 done, 1 a failure of ours, 2 something the user can put right, 3 done in part and the
rest listed, 130 interrupted, 143 ended by SIGTERM and 129 by SIGHUP.
Nothing here imports torch before a verb runs, so that help answers at once.
"""

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from limssr.cli.launch import launched
from limssr.cli.options import Verb, with_home_expanded
from limssr.cli.output import Format, print_answer, print_error, print_in_any_encoding, reserved_stdout
from limssr.cli.parser import parse
from limssr.core.diagnosis import diagnosis
from limssr.core.errors import LimssrError
from limssr.core.launched import LostProcess, ToldByFirst, follows
from limssr.core.signals import Terminated, end_with_parent, signals_as_interruptions

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after `limssr`; those of the process by default.

    Returns:
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    form: Format = "json" if "--json" in arguments else "text"
    end_with_parent()
    print_in_any_encoding(sys.stdout, sys.stderr)
    with signals_as_interruptions(), reserved_stdout(form) as stdout, warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _answered(arguments, form, stdout)


def _answered(arguments: Sequence[str], form: Format, stdout: TextIO) -> int:
    """Parse and run; every way in which that can end becomes an exit code and, where it failed, a message."""
    verb, debug, is_follower = None, "--debug" in arguments, follows()
    try:
        verb = with_home_expanded(parse(arguments, form))
        if (number := _processes_to_launch(verb)) > 1:
            return launched(arguments, number)
        answer = verb.run()
        if not is_follower:
            print_answer(answer, form, stdout)
        return answer.exit_code
    except SystemExit as request:  # --help, or an error that tyro has explained
        return request.code if isinstance(request.code, int) else 2
    except KeyboardInterrupt as error:
        code = 128 + error.number if isinstance(error, Terminated) else INTERRUPTED
        if is_follower or _processes_to_launch(verb) > 1:  # the first of several processes says so
            return code
        told = LimssrError(f"{_ended_by(error)}. {_how_to_go_on(verb, arguments)}")
        print_error(told.with_traceback(error.__traceback__), code, form=form, stdout=stdout, trace=debug)
        return code
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return 0
    except Exception as error:
        if isinstance(error, ToldByFirst) or (isinstance(error, LostProcess) and is_follower):
            return error.exit_code
        explained = diagnosis(error) or error
        if isinstance(explained, LimssrError):
            told = explained if explained is error else explained.with_traceback(error.__traceback__)
            print_error(told, told.exit_code, form=form, stdout=stdout, trace=debug)
            return told.exit_code
        # A bug: whoever reports it needs the place.
        print_error(error, 1, form=form, stdout=stdout, trace=True)
        return 1


def _processes_to_launch(verb: Verb | None) -> int:
    """In how many processes a command asks to be run, where no launcher has done so already."""
    number = getattr(verb, "processes_together", 1)
    return 1 if os.environ.get("WORLD_SIZE") else number


def _ended_by(error: KeyboardInterrupt) -> str:
    return f"ended by {error}" if isinstance(error, Terminated) else "interrupted"


def _how_to_go_on(verb: Verb | None, arguments: Sequence[str]) -> str:
    if not hasattr(verb, "resume"):
        return "Run the same command again."
    words = [*arguments, *(() if "--resume" in arguments else ("--resume",))]
    return f"Go on where it was stopped with: limssr {shlex.join(words)}"


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    """One line on stderr; the place in the code means nothing to someone at a terminal."""
    if follows():
        return
    print(f"limssr: warning: {message}", file=sys.stderr)  # noqa: T201
