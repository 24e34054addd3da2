"""The rules of the house, executed: what prose asks for drifts, what a test asks for stays."""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.database.tables import DELIVERY_STATUSES
from app.domain.amounts import AMOUNTS
from app.domain.attribution import Reason
from app.domain.folding import FLAGS
from app.domain.statuses import REASONS, STATUSES
from app.settings import Settings, variable
from tests.balance import SHARED

ROOT = Path(__file__).resolve().parent.parent
APP = sorted((ROOT / "app").rglob("*.py"))
PACKAGES = [*APP, *sorted((ROOT / "demo").rglob("*.py"))]
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 500
BANNED_NAMES = {
    "utils",
    "util",
    "helpers",
    "helper",
    "manager",
    "service",
    "services",
    "misc",
    "common",
    "repositories",
}


@functools.cache
def text_of(path: Path) -> str:
    return path.read_text()


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """A file of ours, parsed once for every rule that looks at it."""
    return ast.parse(text_of(path))


def code_lines(path: Path) -> int:
    """Lines with code on them: neither blank, nor a comment, nor a note (a text that stands for itself)."""
    notes = {
        number
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(text_of(path).splitlines(), start=1)
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in notes for number, line in lines
    )


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_types_are_strict() -> None:
    done = run("mypy")
    assert done.returncode == 0, done.stdout


def test_the_linter_has_nothing_to_say() -> None:
    done = run("ruff", "check", ".")
    assert done.returncode == 0, done.stdout
    done = run("ruff", "format", "--check", ".")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_one_subject_and_its_functions_fit_a_screen(path: Path) -> None:
    assert path.stem not in BANNED_NAMES
    assert code_lines(path) <= FILE_LINES_MAX
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{path}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_public_says_what_it_promises(path: Path) -> None:
    tree = tree_of(path)
    if text_of(path).strip():
        assert ast.get_docstring(tree), f"{path} does not say what it is"
    silent = [
        f"{path.name}:{node.lineno} {node.name}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not silent


PRIVATE_TERMS = re.compile(r"(?:^|_)(?:said|told|settled?|settles|settling)(?:_|$)")
"""Words that used to mean several things here: a report, a fact, a state, a decision have names of their own."""


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for path in APP:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_and_notes_are_plain(path: Path) -> None:
    names, notes = [], []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            notes.append(node.value.value)
    assert [name for name in names if not name.startswith("_") and PRIVATE_TERMS.search(name.lower())] == []
    # A note whose subject stands elsewhere has to be read three times.
    assert [note for note in notes if re.match(r"\s*(?:Of|Likewise|The same|Whoever)\b", note)] == []


def test_every_setting_says_what_it_means_and_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for field in Settings.__struct_fields__:
        assert f"`{variable(field)}`" in page, f"docs/settings.md does not name {variable(field)}"


def test_every_error_code_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    found = set()
    for path in APP:
        found |= set(re.findall(r'\bcode="([a-z_]+)"', text_of(path)))
    missing = sorted(code for code in found if f"`{code}`" not in page)
    assert not missing, f"docs/errors.md does not explain {missing}"


def test_every_reason_of_a_decision_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "attribution.md").read_text()
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in page] == []


WORD = re.compile(r"[a-z][a-z0-9_]*")


def branches(value: ast.expr | None) -> list[ast.expr]:
    """What an expression may turn out to be: both sides of a condition, each operand of an `or`."""
    if isinstance(value, ast.IfExp):
        return [*branches(value.body), *branches(value.orelse)]
    if isinstance(value, ast.BoolOp):
        return [each for operand in value.values for each in branches(operand)]
    return [] if value is None else [value]


def literal(value: ast.expr | None, names: dict[str, str]) -> set[str]:
    """The words an expression may be, literally or under the name of a constant."""
    found = set()
    for each in branches(value):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            found.add(each.value)
        elif isinstance(each, ast.Name | ast.Attribute):
            found.add(names.get(each.id if isinstance(each, ast.Name) else each.attr, ""))
    return {word for word in found if WORD.fullmatch(word)}


def reasons_of_deliveries() -> set[str]:
    """Every word a delivery's `reason` may be: `Unreadable("…", …)`, `read_field(…, "…")`, `read_object(…, "…")`, `rejected=`, `ignored=`,
    `DeliveryResult("…", "…")`, and what `verify` returns."""
    trees = {
        path: tree_of(path)
        for room in ("intake", "platforms", "domain")
        for path in (ROOT / "app" / room).rglob("*.py")
    }
    names: dict[str, str] = {}
    for tree in trees.values():
        for node in tree.body:
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                names |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    found: set[str] = set()
    for path, tree in trees.items():
        signs = path.name in {"signature.py", "signing.py", "replaying.py"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called == "Unreadable" and node.args:
                    found |= literal(node.args[0], names)
                if called in {"read_object", "read_field"}:
                    found |= literal(node.args[-1], names)
                if called == "DeliveryResult" and len(node.args) > 1:
                    found |= literal(node.args[1], names)
                for keyword in node.keywords:
                    if keyword.arg in {"rejected", "ignored"}:
                        found |= literal(keyword.value, names)
            elif isinstance(node, ast.Return) and signs:
                found |= literal(node.value, names)
    return found


def test_every_status_and_reason_of_a_delivery_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "deliveries.md").read_text()
    found = reasons_of_deliveries()
    assert {"not_json", "wrong_signature", "unknown_topic", "not_recordable", "missing_order_id"} <= found
    missing = sorted(word for word in found | set(DELIVERY_STATUSES) if f"`{word}`" not in page)
    assert not missing, f"docs/deliveries.md does not explain {missing}"


def test_every_flag_and_status_of_an_order_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "orders.md").read_text()
    for word in (*FLAGS, *AMOUNTS, *STATUSES, *REASONS):
        assert f"`{word}`" in page, f"docs/orders.md does not explain {word}"


def test_the_tests_that_share_the_service_run_in_one_process() -> None:
    asking = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"\bwhole: Served[,)]|^from tests\.api\.story import .*\bStory\b", path.read_text(), re.MULTILINE)
    }
    assert asking == {file for file, share in SHARED.items() if share == "whole"}, "see tests/balance.py"


def test_the_lock_files_name_no_registry_and_the_hash_of_every_file() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        assert "://" not in (ROOT / name).read_text()
        for requirement in (ROOT / name).read_text().replace("\\\n", "").splitlines():
            assert " --hash=sha256:" in requirement, f"{name}: {requirement} has no hash; see `make lock`"
    for path in (ROOT / "tests" / "shops").glob("*/package-lock.json"):
        assert not re.search(r'"resolved"|registry\.', path.read_text()), path


def test_the_doors_load_without_the_api_and_the_database_layer() -> None:
    code = "import sys, app.tracking.doors; print([m for m in ('fastapi', 'sqlalchemy', 'pydantic', 'alembic') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_settings_page_is_what_the_command_prints() -> None:
    done = run("app.cli", "settings", "--markdown")
    assert done.stdout == (ROOT / "docs" / "settings.md").read_text(), (
        "run `ariane settings --markdown > docs/settings.md`"
    )
