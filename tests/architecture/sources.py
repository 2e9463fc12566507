"""The package's source as syntax trees: what the gates in this folder look at."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "graft"


@dataclass(frozen=True)
class Module:
    """One module; `name` is dotted and begins with `graft`."""

    name: str
    text: str
    tree: ast.Module
    is_package: bool = False

    @property
    def short(self) -> str:
        """The name within the package: `data.images`; empty for the package itself."""
        return self.name.removeprefix("graft").removeprefix(".")

    @property
    def folder(self) -> str:
        """The first part of the short name: `data`."""
        return self.short.split(".")[0]


def module(name: str, text: str, *, is_package: bool = False) -> Module:
    """A module made from text: what sabotage tests use."""
    return Module(name, text, ast.parse(text), is_package)


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the package, sorted by name."""
    return tuple(sorted((_read(path) for path in PACKAGE.rglob("*.py")), key=lambda each: each.name))


def _read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return module(
        ".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package=is_package
    )


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """All string constants in a tree, docstrings included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node
