"""Words of the command line -> a verb with its options, or an error that names the nearest right word.

The verb is found here; its options are read by tyro. Mistakes in the words are looked for before tyro does, so that
every message has one form: what was expected, what was found, what to do.
"""

import contextlib
import difflib
import inspect
import io
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, cast

from tyro import conf

from limssr.cli.options import Common, Verb
from limssr.cli.output import Answer, Format
from limssr.cli.table import FOLDERS, VERBS, Entry, all_verbs
from limssr.cli.verbs.completion import Completion
from limssr.core.errors import InputError

ANYWHERE = ("--json", "--debug")
"""Flags that may stand anywhere, also before the verb."""
HELP = ("-h", "--help")
NUMBERS = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Map:
    """Every verb below some words, in its group, with one line on what it does."""

    words: str = ""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """List."""
        prefix = f"{self.words} ".lstrip()
        groups = {title: _below(prefix, group) for title, group in VERBS.items()}
        groups = {title: lines for title, lines in groups.items() if lines}
        document = {"verbs": [_listed(title, name, line) for title, of in groups.items() for name, line in of.items()]}
        width = max(len(name) for of in groups.values() for name in of)
        lines = [f"limssr {self.words}: {FOLDERS[self.words]}" if self.words else _title()]
        for title, of in groups.items():
            lines += ["", *((title,) if len(groups) > 1 else ())]
            lines += [f"  {name:<{width}}  {line}" for name, line in of.items()]
        return Answer(document, (*lines, "", f"limssr {prefix}VERB --help explains a verb."))


@dataclass(frozen=True)
class Version:
    """The version of limssr."""

    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Say it."""
        from limssr.core.version import __version__

        return Answer({"limssr": __version__}, (f"limssr {__version__}",))


@dataclass(frozen=True)
class Help:
    """A verb's help, under --json, where stdout is one document."""

    text: str
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Show it."""
        return Answer({"help": self.text})


@dataclass(frozen=True)
class _Option:
    """One field of a verb, as it is typed."""

    name: str
    positional: bool
    kind: type | None
    choices: tuple[str, ...]

    def check(self, value: str, where: str) -> None:
        if self.choices and value not in self.choices:
            expected = f"one of {', '.join(self.choices)}"
            raise InputError(
                f"{where}: expected {expected} {_place(self)}, found {value!r}{_hint(value, self.choices) or '.'}"
            )
        if self.kind is not None:
            try:
                self.kind(value)
            except ValueError:
                expected = NUMBERS[self.kind]
                raise InputError(f"{where}: expected {expected} {_place(self)}, found {value!r}.") from None


def parse(arguments: Sequence[str], form: Format = "text") -> Verb:
    """Words -> a verb with its options.

    Raises:
        InputError: No such verb or option, a value of another kind, or something is missing.
        SystemExit: Help was asked for and has been printed.
    """
    asked = [word for word in ANYWHERE if word in arguments]
    words = [word for word in arguments if word not in ANYWHERE]
    common = Common(json="--json" in asked, debug="--debug" in asked)
    if words in (["--version"], ["-V"], ["version"]):
        return Version(common)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    name, rest = _find(words)
    entry = all_verbs().get(name)
    if entry is None:
        if not rest or rest[0] in HELP:
            return Map(name, common)
        raise InputError(_no_verb(name, rest[0]))
    rest = _renamed(rest, entry)
    if set(HELP) & set(rest):
        return _read(entry, name, ["--help"], form)
    _check(rest, entry, name)
    verb = _read(entry, name, [*rest, *(("--debug",) if common.debug else ())], form)
    return replace(verb, known=completions()) if isinstance(verb, Completion) else verb


def completions() -> dict[str, list[str]]:
    """Words -> what may come next: verbs, or the options of the verb that the words name."""
    verbs = all_verbs()
    found: dict[str, list[str]] = {}
    for words in (*FOLDERS, *verbs):
        before, _, last = words.rpartition(" ")
        found.setdefault(before, []).append(last)
    for listed in found.values():
        listed[:] = dict.fromkeys(listed)
    for words, entry in verbs.items():
        options = [option.name for option in _options(entry.verb) if not option.positional]
        found[words] = [*found.get(words, []), *options]
    return found


def _find(words: Sequence[str]) -> tuple[str, list[str]]:
    """The longest beginning of the words that is a verb or leads on to one, and the words after it."""
    known = {*FOLDERS, *all_verbs()}
    name, position = "", 0
    while position < len(words) and f"{name} {words[position]}".strip() in known:
        name = f"{name} {words[position]}".strip()
        position += 1
    return name, list(words[position:])


def _no_verb(name: str, found: str) -> str:
    prefix = f"{name} ".lstrip()
    here = list(
        dict.fromkeys(words.removeprefix(prefix).split()[0] for words in all_verbs() if words.startswith(prefix))
    )
    if found.startswith("-"):
        return f"Expected a verb before {found}. `{f'limssr {name}'.rstrip()}` lists the verbs."
    hint = _hint(found, here, before=prefix)
    if not hint:  # a verb of another level: `limssr import`, `limssr data table`
        last = {words.split()[-1]: words for words in reversed([*FOLDERS, *all_verbs()])}
        near = difflib.get_close_matches(found, last, n=1)
        hint = f"; did you mean {last[near[0]]}?" if near else "."
    return f"Unknown verb {found!r}{hint} `{f'limssr {name}'.rstrip()}` lists the verbs."


def _renamed(words: Sequence[str], entry: Entry) -> list[str]:
    """The words with old spellings of options replaced; each says so once."""
    found = []
    for word in words:
        flag, equals, value = word.partition("=")
        now = entry.renamed.get(flag)
        if now:
            sys.stderr.write(f"limssr: note: {flag} is called {now} now; the old word still works.\n")
        found.append(f"{now}{equals}{value}" if now else word)
    return found


def _check(words: Sequence[str], entry: Entry, where: str) -> None:
    """Refuse unknown options and values of another kind."""
    options = {option.name: option for option in _options(entry.verb)}
    flags = [name for name, option in options.items() if not option.positional]
    current: _Option | None = None
    for word in words:
        if not word.startswith("--"):
            if current:
                current.check(word, where)
            continue
        flag, equals, value = word.partition("=")
        flag = flag.replace("_", "-")
        if flag not in flags:
            key = _key_hint(flag)  # the very name of a key is no misspelled option
            hint = key if key != "." else _hint(flag, flags) or key
            raise InputError(f"{where}: unknown option {flag}{hint} `limssr {where} --help` lists its options.")
        current = options[flag]
        if equals:
            current.check(value, where)


def _options(verb: type[Verb]) -> Iterator[_Option]:
    """The fields of a verb, and the options of every verb."""
    hints = typing.get_type_hints(verb, include_extras=True)
    for entry in fields(cast("Any", verb)):
        if entry.name in ("common", "known"):
            continue
        kind, metadata = hints[entry.name], ()
        if typing.get_origin(kind) is Annotated:
            kind, *metadata = typing.get_args(kind)
        inner = _innermost(kind)
        choices = typing.get_args(inner) if typing.get_origin(inner) is Literal else ()
        name = entry.name if conf.Positional in metadata else f"--{entry.name.replace('_', '-')}"
        yield _Option(name, conf.Positional in metadata, inner if inner in NUMBERS else None, tuple(map(str, choices)))
    yield from (_Option(name, False, None, ()) for name in ANYWHERE)


def _innermost(kind: Any) -> Any:
    """`int | None` and `tuple[int, ...]` -> `int`."""
    while typing.get_origin(kind) is not Literal and typing.get_args(kind):
        kind = next(argument for argument in typing.get_args(kind) if argument is not type(None))
    return kind


def _union(kind: Any) -> tuple[Any, ...]:
    """The alternatives of `X | None`, also where it is annotated."""
    return typing.get_args(typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind)


def _place(option: _Option) -> str:
    return f"as {option.name.upper()}" if option.positional else f"after {option.name}"


def _hint(found: str, valid: Sequence[str], before: str = "") -> str:
    close = difflib.get_close_matches(found, valid, n=1, cutoff=0.6)
    starts = [name for name in valid if len(found) > 2 and name.startswith(found)]
    near = (*close, *starts)
    return f"; did you mean {before}{near[0]}?" if near else ""


def _key_hint(flag: str) -> str:
    """For someone who types a key of the recipe as an option."""
    from limssr.core.recipe_keys import keys_named

    keys = keys_named(flag.lstrip("-").replace("-", "_"))
    return f"; a recipe has the key: --set {keys[0]}=VALUE." if keys else "."


def _read(entry: Entry, where: str, words: Sequence[str], form: Format) -> Verb:
    """Let tyro read the options.

    Raises:
        InputError: What tyro found, in one line.
        SystemExit: Help has been printed.
    """
    import tyro

    told, shown = io.StringIO(), io.StringIO()
    catch_help = contextlib.redirect_stdout(shown) if form == "json" else contextlib.nullcontext()
    _quiet_defaults(entry.verb)
    try:
        with contextlib.redirect_stderr(told), catch_help:
            return tyro.cli(
                cast("type[Verb]", entry.verb),
                prog=f"limssr {where}",
                args=list(words),
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff, tyro.conf.HelptextFromCommentsOff),
            )
    except SystemExit as request:
        if request.code:
            raise InputError(f"{where}: {_plain(told.getvalue(), where)}") from None
        if form == "json":
            return Help(shown.getvalue())
        raise


def _quiet_defaults(verb: type[Verb]) -> None:
    """Say a default in help only where there is one to know: no "(default: None)", no "(default: )"."""
    for owner in (*verb.__mro__, Common):
        for name, kind in inspect.get_annotations(owner).items():
            metadata = typing.get_args(kind)[1:] if typing.get_origin(kind) is Annotated else ()
            if name != "common" and _DEFAULT not in metadata:
                inner = _innermost(typing.get_args(kind)[0] if metadata else kind)
                chosen = typing.get_args(inner) if typing.get_origin(inner) is Literal else ()
                # Without this, tyro offers None as one of the choices of an option that may be left out.
                named = (conf.arg(metavar=f"{{{','.join(chosen)}}}"),) if chosen and type(None) in _union(kind) else ()
                owner.__annotations__[name] = Annotated[(kind, *named, _DEFAULT)]


def _default(value: str) -> str:
    return "" if value in ("", "None", "False", "()") else f"(default: {value})"


_DEFAULT = conf.arg(help_behavior_hint=_default)


def _plain(text: str, where: str) -> str:
    """A boxed message of tyro as one sentence."""
    words = " ".join(text.translate(dict.fromkeys(map(ord, "╭╮╰╯│─"), " ")).split())
    advice = f"`limssr {where} --help` explains."
    missing = re.search(r"Missing from .*?: (--[\w-]+ [A-Z]+|[A-Z][A-Z_-]+) (.*?) ?\(required\)", words)
    if missing:
        return f"expected {missing[1]}: {missing[2]} {advice}"
    extra = re.search(r"Unrecognized (?:or misplaced )?options: (.*?)(?: \(applied| Perhaps| For full|$)", words)
    if extra:
        return f"nothing is expected after its arguments, found {extra[1]}. {advice}"
    without = re.search(r"Missing value for argument '(--[\w-]+)'", words)
    if without:
        return f"expected a value after {without[1]}. {advice}"
    return f"{words.partition(' For full helptext')[0]} {advice}"


def _below(prefix: str, group: "typing.Mapping[str, Entry]") -> dict[str, str]:
    """Verbs and folders one step below the prefix (two at the top, where `data` would hide what it holds)."""
    depth = len(prefix.split()) + (1 if prefix else 2)
    found = {}
    for words, entry in group.items():
        if words.startswith(prefix):
            name = " ".join(words.split()[:depth])
            found[name.removeprefix(prefix)] = entry.line if name == words else FOLDERS[name]
    return found


def _listed(title: str, name: str, line: str) -> dict[str, str]:
    return {"group": title, "verb": name, "does": line}


def _title() -> str:
    return "limssr: score long performances from several streams, also when some are missing"
