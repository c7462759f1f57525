"""Write docs/tree.md: every Python file of the project with the first sentence of its docstring (`make tree`)."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("aman", "cluster", "jobs", "tune_spaces", "bench")


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring, in one line."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split())
    end = text.find(". ")
    return text if end < 0 else text[: end + 1]


def tree() -> str:
    """The page."""
    lines = [
        "# The tree",
        "",
        "Made from the code by `make tree`: each file with the first sentence of its docstring.",
        "",
    ]
    for package in PACKAGES:
        lines += [f"## {package}", "", "| file | what it is |", "|---|---|"]
        for path in sorted((ROOT / package).rglob("*.py"), key=lambda path: (len(path.parts), path.as_posix())):
            if path.stem != "__init__" and (said := sentence(path)):
                lines.append(f"| `{path.relative_to(ROOT).as_posix()}` | {said.replace('|', chr(92) + '|')} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(tree())
