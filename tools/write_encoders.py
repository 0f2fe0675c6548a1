"""Write the table of encoders into docs/recordings.md, from the same source as `limssr extract --list`."""

import sys
from pathlib import Path

from limssr.media.catalogue import encoder_documents

PAGE = Path(__file__).resolve().parents[1] / "docs" / "recordings.md"
BEGIN, END = "<!-- encoders begin -->\n", "<!-- encoders end -->"


def table() -> str:
    """The table as Markdown."""
    lines = [
        "| encoder | reads | width | what it gives | weights | licence | verified |",
        "|---|---|---|---|---|---|---|",
    ]
    for card in encoder_documents():
        name = f"`{card['name']}`" + (" (default)" if card["default"] else "")
        cells = (
            name,
            card["reads"],
            str(card["width"] or "as configured"),
            card["does"],
            card["weights"],
            card["licence"],
            card["verified"],
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with the table in its place."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
