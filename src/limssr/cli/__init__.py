"""The command line: `limssr VERB`. Verbs only; each calls one library function.

Exit codes: 0 done, 1 a failure of ours or of the machine, 2 something the user can put right, 3 done in part and the
rest listed, 130 interrupted.
Nothing here imports torch before a verb runs, so that help answers at once.
"""

import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from limssr.cli.options import Verb
from limssr.cli.output import Answer, Format, print_answer, print_error, reserved_stdout
from limssr.cli.parser import parse
from limssr.core.errors import InputError, LimssrError

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
    with reserved_stdout(form) as stdout, warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            verb = parse(arguments, form)
        except InputError as error:
            print_error(error, error.exit_code, form=form, stdout=stdout, trace=False)
            return error.exit_code
        except SystemExit:  # --help, which has been printed
            return 0
        return _run(verb, arguments, form, stdout)


def _run(verb: Verb, arguments: Sequence[str], form: Format, stdout: TextIO) -> int:
    debug = verb.common.debug
    try:
        answer: Answer = verb.run()
        print_answer(answer, form, stdout)
    except KeyboardInterrupt as error:
        interruption = LimssrError(f"interrupted. {_how_to_go_on(verb, arguments)}")
        print_error(
            interruption.with_traceback(error.__traceback__), INTERRUPTED, form=form, stdout=stdout, trace=debug
        )
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return 0
    except LimssrError as error:
        print_error(error, error.exit_code, form=form, stdout=stdout, trace=debug)
        return error.exit_code
    except Exception as error:  # a bug: whoever reports it needs the place
        print_error(error, 1, form=form, stdout=stdout, trace=True)
        return 1
    return answer.exit_code


def _how_to_go_on(verb: Verb, arguments: Sequence[str]) -> str:
    if not hasattr(verb, "resume"):
        return "Run the same command again."
    words = [*arguments, *(() if "--resume" in arguments else ("--resume",))]
    return f"Go on where it was stopped with: limssr {shlex.join(words)}"


def _show_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    """One line on stderr; the place in the code means nothing to someone at a terminal."""
    print(f"limssr: warning: {message}", file=sys.stderr)  # noqa: T201
