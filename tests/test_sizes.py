"""Files and functions stay short enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE_LINES = 320
TEST_LINES = 420
FUNCTION_LINES = 55


def modules() -> Iterator[Path]:
    for package in ("scenebook", "worker", "api", "migrations", "tests", "benchmarks"):
        yield from (ROOT / package).rglob("*.py")


def test_no_module_is_long() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in modules()}
    limits = {name: TEST_LINES if name.startswith("tests/") else MODULE_LINES for name in lines}
    assert {name: count for name, count in lines.items() if count > limits[name]} == {}


def test_no_function_is_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "managers", "manager", "services", "service"}
    assert [str(path) for path in modules() if path.stem in vague] == []


def test_every_folder_of_the_domain_is_a_package_with_a_purpose() -> None:
    missing = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.parts[len(ROOT.parts)] in ("scenebook", "worker")
        and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert missing == []
