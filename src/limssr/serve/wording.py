"""Sentences of the command line, for clients of a server: nobody there can give an option."""

import re

PHRASES: tuple[tuple[str, str], ...] = (
    (r"say which it is with --header first-line or --header none, or write", "write"),
    (r"--align shortest cuts the ends, --align resample .*", "send streams of one length."),
    (r" \(--time none says that no column is the time\)", ""),
    (r"say which with --time NAME; remove the other", "remove one"),
    (r"; --time none says that it is a feature", ""),
    (r"name another with --time, or none", "send a table that has it"),
    (r"correct --rate, or leave it out where the file has times", "send rows at that rate"),
    (r"with --columns by-place( \(in Python [^)]*\))?", "with by-place as 'columns'"),
    (r"; --segment-s SECONDS averages them", ""),
    (r" \(a length of segments, --segment-s, puts them on segments\)", ""),
    (r"ask for less at once \([^)]*--device\)", "ask for less at once"),
)
"""What is found -> what a client can do instead."""
CLAUSE = re.compile(r"(?:[,;:]? (?:or|and))?[^.,;:()]*\s--[a-z][a-z-]+[^.,;:()]*")
"""A part of a sentence with an option that no phrase knows."""


def for_clients(sentence: str) -> str:
    """A sentence without options of the command line."""
    for phrase, instead in PHRASES:
        sentence = re.sub(phrase, instead, sentence)
    cut = CLAUSE.sub("", sentence)
    return sentence if cut == sentence else re.sub(r"\s*\(\)|[,;:]+(?=[,.]|$)", "", cut)
