"""The files that the page at `/` consists of: all are served, nothing else is, and each needs only those below it."""

import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from urllib.parse import urljoin

import pytest

from graft.serving import documentation
from graft.serving.routes import ASSETS
from tests.architecture.sources import PACKAGE
from tests.architecture.test_sizes import MAX_MODULE_LINES
from tests.serving.running import Running, request

FOLDER = PACKAGE / "serving" / "assets"
TEXTS = {address: (FOLDER / name).read_text(encoding="utf-8") for address, (name, _) in ASSETS.items()}
LINK = re.compile(r'(?:src|href)="([^"]*)"')
IMPORT = re.compile(r'^(?:import|export)\s(?:[^;"]*\sfrom\s)?"([^"]*)";', re.MULTILINE)


def needs(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """For each address, what is loaded because of it."""
    return {
        address: {urljoin(address, found) for found in (IMPORT if address.endswith(".js") else LINK).findall(text)}
        - {"data:,", "/docs"}
        for address, text in texts.items()
    }


def defects(texts: Mapping[str, str]) -> list[str]:
    """What is missing, loaded by nothing, or needs itself."""
    wanted = needs(texts)
    every = set().union(*wanted.values())
    found = [f"{address} is not there" for address in every - set(texts)]
    found += [f"{address} is loaded by nothing" for address in set(texts) - every - {"/"}]
    try:
        TopologicalSorter(wanted).prepare()
    except CycleError as error:
        found.append(f"a circle: {error.args[1]}")
    return found


def test_the_files_fit_together():
    assert defects(TEXTS) == []


def test_sabotage_files_that_do_not_fit_are_noticed():
    lacking = {address: text for address, text in TEXTS.items() if address != "/page/words.js"}
    assert defects(lacking) == ["/page/words.js is not there"]
    assert defects({**TEXTS, "/page/more.js": ""}) == ["/page/more.js is loaded by nothing"]
    circle = {**TEXTS, "/page/words.js": 'import {\n  at,\n} from "./elements.js";\n'}
    assert [text.split(":")[0] for text in defects(circle)] == ["a circle"]


def test_every_file_is_served():
    there = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    assert there == {name for name, _ in ASSETS.values()}


@pytest.mark.parametrize("address", [address for address in ASSETS if address.endswith(".js")])
def test_modules_are_short_and_typed(address: str):
    assert TEXTS[address].startswith("// @ts-check\n/**")
    assert TEXTS[address].count("\n") <= MAX_MODULE_LINES / 2


def test_addresses_are_relative():
    routes = documentation.page({"info": {"title": "x"}, "paths": {}})
    links = [link for text in (TEXTS["/"], routes) for link in LINK.findall(text)]
    imports = [found for address, text in TEXTS.items() if address.endswith(".js") for found in IMPORT.findall(text)]
    asked = [found for text in TEXTS.values() for found in re.findall(r'fetch\("([^"]*)"', text)]
    assert (len(links), len(asked)) == (7, 2)
    assert len(imports) > 20
    assert [each for each in (*links, *imports, *asked) if each.startswith(("/", "http"))] == []


def test_the_page_has_no_program_and_no_style_of_its_own():
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?:", TEXTS["/"]) == []


@pytest.mark.parametrize(
    "path",
    [
        *("/page", "/page/", "/page.html", "/page.js", "/page/none.js", "/page/start.js/", "/page/start", "//page.css"),
        *("/assets/page.css", "/page/../routes.py", "/page/../../routes.py", "/page/..%2f..%2froutes.py"),
        *("/page/%2e%2e/%2e%2e/routes.py", "/page/..\\..\\routes.py", "/page/start.js%00", "/page//etc/hostname"),
    ],
)
def test_nothing_else_can_be_fetched(service: Running, path: str):
    assert service.raw(request("GET", path)).status == 404


def test_every_file_comes_with_its_type_and_the_strict_policy(service: Running):
    for address, (name, media_type) in ASSETS.items():
        reply = service.raw(request("GET", address))
        assert (reply.status, reply.body) == (200, (FOLDER / Path(name)).read_bytes())
        assert reply.headers["content-type"].startswith(media_type)
        assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in reply.headers["content-security-policy"]
