"""Check the size rules that no linter has: lines of a file, of a function, and what is given by position.

A function takes at most five positional arguments, and so does a dataclass: what has more fields is keyword-only.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_POSITIONAL = 5
FOLDERS = ("src", "tests", "examples", "tools", "benchmarks")


def problems(path: Path) -> Iterator[str]:
    """What is too large in one file, one line each."""
    text = path.read_text(encoding="utf-8")
    num_lines = len(text.splitlines())
    if num_lines > MAX_FILE_LINES:
        yield f"{path}:1: {num_lines} lines, at most {MAX_FILE_LINES}: split it by idea"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and len(fields := _positional_fields(node)) > MAX_POSITIONAL:
            found = f"the dataclass {node.name} takes {len(fields)} fields by position"
            yield f"{path}:{node.lineno}: {found}, at most {MAX_POSITIONAL}: add kw_only=True"
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        # A docstring explains; it may be as long as it has to be.
        has_docstring = ast.get_docstring(node, clean=False) is not None
        documentation = _num_lines(node.body[0]) if has_docstring else 0
        length = _num_lines(node) - documentation
        if length > MAX_FUNCTION_LINES:
            found = f"{node.name} has {length} lines without its docstring"
            yield f"{path}:{node.lineno}: {found}, at most {MAX_FUNCTION_LINES}"
        positional = [arg.arg for arg in node.args.posonlyargs + node.args.args if arg.arg not in ("self", "cls")]
        # A test's arguments are its fixtures, named by pytest and never passed by position.
        if len(positional) > MAX_POSITIONAL and not node.name.startswith("test_"):
            found = f"{node.name} takes {len(positional)} positional arguments"
            yield f"{path}:{node.lineno}: {found}, at most {MAX_POSITIONAL}"


def _positional_fields(node: ast.ClassDef) -> list[str]:
    """Names of the fields of a dataclass that it takes by position; none for other classes."""
    made = [one for one in node.decorator_list if ast.unparse(one).partition("(")[0].split(".")[-1] == "dataclass"]
    if not made or "kw_only=True" in ast.unparse(made[0]):
        return []
    found: list[str] = []
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if ast.unparse(field.annotation).endswith("KW_ONLY"):
            break
        text = ast.unparse(field)
        if not any(word in text for word in ("ClassVar", "init=False", "kw_only=True")):
            found.append(field.target.id)
    return found


def _num_lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def main() -> int:
    """Print every problem; 1 if there is one."""
    root = Path(__file__).resolve().parents[1]
    files = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    found = [line for path in files for line in problems(path)]
    print("\n".join(found) if found else f"{len(files)} files within the size rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
