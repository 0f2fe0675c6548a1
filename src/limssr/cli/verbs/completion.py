"""`limssr completion`: what a shell needs to complete verbs and options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from tyro import conf

from limssr.cli.options import Common, Position
from limssr.cli.output import Answer

HOW = {
    "bash": 'eval "$(limssr completion bash)"  # in ~/.bashrc',
    "zsh": 'eval "$(limssr completion zsh)"  # in ~/.zshrc, after compinit',
    "fish": "limssr completion fish > ~/.config/fish/completions/limssr.fish",
}
BASH = """\
_limssr() {
  local words="${COMP_WORDS[*]:1:COMP_CWORD-1}" current="${COMP_WORDS[COMP_CWORD]}"
  local known
  known="$(_limssr_words "$words")"
  if [[ "$current" == -* || -n "$known" && "$known" != -* ]]; then
    COMPREPLY=($(compgen -W "$known" -- "$current"))
  fi
  [[ ${#COMPREPLY[@]} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _limssr limssr"""
ZSH = """\
_limssr() {
  local before="${(j: :)words[2,CURRENT-1]}"
  local -a known
  known=(${(z)"$(_limssr_words "$before")"})
  if [[ "$PREFIX" == -* || "${known[1]}" != -* ]]; then compadd -a known; fi
  _files
}
compdef _limssr limssr"""


@dataclass(frozen=True)
class Completion:
    """Print what a shell needs to complete verbs and options; see the first line of it for where it goes."""

    shell: Annotated[Position[Literal["bash", "zsh", "fish"]], conf.arg(metavar="{bash,zsh,fish}")]
    """The shell."""
    known: conf.Suppress[conf.Fixed[Mapping[str, Sequence[str]]]] = field(default_factory=dict)
    """Words -> what may come next; the parser fills it in."""
    common: Common = field(default_factory=Common)

    def run(self) -> Answer:
        """Print."""
        text = _fish(self.known) if self.shell == "fish" else _posix(self.known, self.shell)
        script = f"# {HOW[self.shell]}\n{text}"
        return Answer({"shell": self.shell, "script": script}, (script,))


def _posix(known: Mapping[str, Sequence[str]], shell: str) -> str:
    """Bash or zsh: what may follow some words, by the longest of the beginnings that is known."""
    cases = "\n".join(
        f'    "{words}"|"{words} "*) echo "{" ".join(found)}" ;;' if words else f'    *) echo "{" ".join(found)}" ;;'
        for words, found in sorted(known.items(), key=lambda item: -len(item[0].split()))
    )
    return f'_limssr_words() {{\n  case "$1" in\n{cases}\n  esac\n}}\n{BASH if shell == "bash" else ZSH}'


def _fish(known: Mapping[str, Sequence[str]]) -> str:
    lines = ["complete -c limssr -f -n __fish_use_subcommand"]
    for words, found in known.items():
        condition = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words.split())
        where = f"-n '{condition}'" if words else "-n __fish_use_subcommand"
        for one in found:
            kind = f"-l {one[2:]}" if one.startswith("--") else f"-a {one}"
            lines.append(f"complete -c limssr {where} {kind}")
    return "\n".join(lines)
