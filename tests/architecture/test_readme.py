"""What documents and help texts tell people to type exists."""

import ast
import re
import shlex
from collections.abc import Iterator

import pytest

import graft
from graft.cli.main import COMMANDS, load_command, overview
from graft.cli.parsing import parse
from graft.core.errors import BadInput
from tests.architecture.sources import ROOT, modules, strings

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
REGISTRY_NAME = re.compile(r"pip3? install\b[^\n`]*?\bgraft-vision\b", re.IGNORECASE)
STOP = {"|", ">", ">>", "&&", ";", "||", "<"}
NAMES = {name for name, _, _ in COMMANDS}


def commands(text: str) -> Iterator[list[str]]:
    """The commands in shell lines, each as its words; pipes, comments and prompts are taken off."""
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if word not in STOP:
                words.append(word)
                continue
            if words:
                yield words
            words = []


def problem(words: list[str]) -> str:
    """Why a command cannot be typed so; empty for what is not ours, and for what is good."""
    if words[:1] == ["make"]:
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        return "" if len(words) == 1 or words[1] in targets else f"make has no target {words[1]}"
    if "graft" not in words[:3] or "pip" in words:
        return ""
    rest = words[words.index("graft") + 1 :]
    if not rest or rest[0].startswith("-"):
        return ""
    try:
        parse(load_command(rest[0]).parser(), rest[1:])
    except BadInput as error:
        return f"{shlex.join(words)}: {error}"
    except SystemExit:
        return ""  # --help
    return ""


def test_documents_name_commands_that_exist():
    seen = 0
    for path in DOCUMENTS:
        for language, text in BLOCK.findall(path.read_text(encoding="utf-8")):
            if language not in ("sh", "bash", "console", "powershell"):
                continue
            for words in commands(text):
                seen += 1
                assert problem(words) == "", path.name
    assert seen >= 8


def test_documents_name_python_that_exists():
    for path in DOCUMENTS:
        for language, text in BLOCK.findall(path.read_text(encoding="utf-8")):
            if language == "python":
                for node in ast.walk(ast.parse(text)):
                    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "graft":
                        assert node.attr in graft.__all__, f"{path.name}: graft.{node.attr}"


def test_documents_link_to_files_that_exist():
    for path in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_examples_in_help_can_be_typed(name):
    text = load_command(name).parser().description or ""
    lines = [
        line.strip() for line in text.splitlines() if "graft " in line and line.startswith("  ") and line[2] != " "
    ]
    assert lines
    for line in lines:
        for words in commands(line):
            assert problem(words) == ""


def test_the_overview_names_every_command():
    text = overview()
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in NAMES)
    assert all(
        problem(re.split(r"\s{2,}", line.strip())[0].split()) == "" for line in text.splitlines() if "  graft " in line
    )


def test_hints_name_commands_that_exist():
    for source in modules():
        for node in strings(source.tree):
            for name in re.findall(r"(?:: |`|'|\b(?:run|with|See|see) )graft ([a-z]+)\b", str(node.value)):
                assert name in NAMES, f"{source.name}:{node.lineno} names graft {name}"


def test_documents_install_from_here():
    """No registry has Graft: whoever took its name there would be installed."""
    for path in DOCUMENTS:
        assert REGISTRY_NAME.findall(path.read_text(encoding="utf-8")) == [], path.name


def test_hints_name_the_registered_name_for_extras_only():
    """Where Graft is installed, an extra of it adds what is missing; all else would look for Graft in a registry."""
    for source in modules():
        for node in strings(source.tree):
            for match in REGISTRY_NAME.finditer(str(node.value)):
                rest = str(node.value)[match.end() :]
                told = (source.name, node.lineno, match[0])
                assert rest.startswith("["), told
                assert " -" not in match[0], told


@pytest.mark.parametrize(
    "line",
    [
        "pip install 'graft-vision[serve]'",
        "RUN pip install --no-cache-dir graft-vision",
        "py -m pip install --upgrade graft-vision",
    ],
)
def test_sabotage_the_registered_name_is_noticed(line):
    assert REGISTRY_NAME.search(line)
    assert not REGISTRY_NAME.search("pip install '.[serve]'; pip install dist/graft_vision-0.1.0-py3-none-any.whl")


@pytest.mark.parametrize(
    "line", ["graft trian x", "graft train x --recipie y", "graft predict", "make tea", "py -m graft nothing"]
)
def test_sabotage_commands_are_checked(line):
    assert [problem(words) for words in commands(line)] != [""]


def test_commands_are_found_in_lines():
    found = list(commands("$ find a | graft predict r - --json > x  # why\nmake demo && graft demo"))
    assert found == [
        ["find", "a"],
        ["graft", "predict", "r", "-", "--json"],
        ["x"],
        ["make", "demo"],
        ["graft", "demo"],
    ]
