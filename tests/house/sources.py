"""What the house tests look at: the project's own files, as git tracks them (or as they lie, outside a checkout)."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the project."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False)
    if done.returncode == 0 and done.stdout:
        paths = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    else:
        paths = [p for p in ROOT.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(ROOT).parts)]
    return tuple(sorted(p for p in paths if p.is_file()))


def modules() -> list[Path]:
    """Every Python file of the package."""
    return [p for p in tracked() if p.suffix == ".py" and p.is_relative_to(ROOT / "blockd")]


@cache
def tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path) -> set[str]:
    """Top names imported at run time (imports under ``if TYPE_CHECKING`` do not count), ``socket``, ``blockd.names``."""
    found: set[str] = set()

    class Visit(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)
            for child in node.orelse:
                self.visit(child)

        def visit_Import(self, node: ast.Import) -> None:
            found.update(alias.name for alias in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            if node.module:
                found.add(node.module)

    Visit().visit(tree(path))
    return found


def relative(path: Path) -> str:
    """``dns/server.py`` for a file of the package."""
    return str(path.relative_to(ROOT / "blockd"))
