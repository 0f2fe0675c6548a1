"""Check a junit file of pytest: tests ran, and none was skipped for want of a folder that is there."""

import argparse
import sys
from pathlib import Path
from xml.etree import ElementTree

# The words that tests/conftest.py skips with when it does not find the real data.
REASON = "real data"


def main() -> int:
    """Print the verdict; 1 if the run may not pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("junit", type=Path)
    parser.add_argument("--shared", type=Path, required=True, help="folder with the real data")
    arguments = parser.parse_args()
    cases = list(ElementTree.parse(arguments.junit).iter("testcase"))
    skipped = {f"{case.get('classname')}::{case.get('name')}": case.find("skipped") for case in cases}
    reasons = {name: node.get("message", "") for name, node in skipped.items() if node is not None}
    if len(reasons) == len(cases):
        print(f"No test was executed ({len(reasons)} skipped).")
        return 1
    wanted = {name: reason for name, reason in reasons.items() if REASON in reason}
    if wanted and arguments.shared.is_dir():
        print(f"{arguments.shared} is there, yet these tests were skipped for want of it:")
        print("\n".join(f"  {name}: {reason}" for name, reason in wanted.items()))
        return 1
    print(f"{len(cases) - len(reasons)} tests ran, {len(reasons)} skipped; no skipped test could have run.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
