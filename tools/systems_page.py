"""Write the table of systems in docs/systems.md from what the systems declare.

python tools/systems_page.py
"""

import os
from pathlib import Path

from limssr.systems.catalogue import FAMILIES, catalogue
from limssr.systems.table import SYSTEMS

PAGE = Path(__file__).parents[1] / "docs" / "systems.md"
BEGIN, END = "<!-- table: python tools/systems_page.py -->\n", "<!-- end -->"
NEEDS = {"no": "no", "pairs": "samples with two streams", "yes": "yes; re-masked without"}


def table() -> str:
    """The families, a table each."""
    parts = []
    for family, title in FAMILIES.items():
        rows = [one for one in catalogue()["systems"] if one["family"] == family and one["name"] in SYSTEMS.built_in]
        if not rows:
            continue
        parts.append(f"### {title[0].upper() + title[1:]}\n")
        parts.append("| name | what it is | complete training data | stages | an absent stream is | checked against |")
        parts.append("|---|---|---|---|---|---|")
        for one in rows:
            stages = ", ".join(one["stages"]) if len(one["stages"]) > 1 else ""
            random = " (random scoring)" if one["stochastic"] else ""
            what = f"**{one['title']}** ({one['source']}): {one['summary']}{random}"
            if one["changed"]:
                what += f". Adapted: {one['changed']}"
            cells = (
                f"`{one['name']}`",
                what,
                NEEDS[one["needs_complete_training"]],
                stages,
                one["absent"],
                one["checked"],
            )
            parts.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
        parts.append("")
    return "\n".join(parts)


def written(page: str) -> str:
    """The page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    partial = PAGE.with_name(f".{PAGE.name}.partial")
    partial.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    os.replace(partial, PAGE)
