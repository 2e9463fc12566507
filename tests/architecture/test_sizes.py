"""Functions and modules stay small enough to be read at once."""

import ast
from collections.abc import Sequence

from tests.architecture.sources import Module, module, modules

MAX_FUNCTION_LINES = 50
MAX_MODULE_LINES = 400


def long_functions(sources: Sequence[Module]) -> list[str]:
    """Functions with too many lines, counted from `def` to the last one, docstring included."""
    return [
        f"{source.name}:{node.lineno} {node.name} has {lines} lines, at most {MAX_FUNCTION_LINES} are allowed"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]


def long_modules(sources: Sequence[Module]) -> list[str]:
    """Modules with too many lines."""
    return [
        f"{source.name} has {lines} lines, at most {MAX_MODULE_LINES} are allowed"
        for source in sources
        if (lines := source.text.count("\n") + 1) > MAX_MODULE_LINES + 1
    ]


def test_functions_are_short():
    assert long_functions(modules()) == []


def test_modules_are_short():
    assert long_modules(modules()) == []


def test_sabotage_long_functions_are_noticed():
    body = "\n".join("    x = 1" for _ in range(MAX_FUNCTION_LINES))
    assert len(long_functions([module("graft.a", f"class A:\n  def f():\n{body}".replace("    x", "      x"))])) == 1
    assert len(long_functions([module("graft.a", f"async def f():\n{body}")])) == 1
    assert long_functions([module("graft.a", "def f():\n" + body.removeprefix("    x = 1\n"))]) == []


def test_sabotage_long_modules_are_noticed():
    assert long_modules([module("graft.a", "x = 1\n" * MAX_MODULE_LINES)]) == []
    assert len(long_modules([module("graft.a", "x = 1\n" * (MAX_MODULE_LINES + 1))])) == 1
