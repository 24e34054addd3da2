"""One platform, one folder: its entry stands in the registry, and nothing else of the service knows its name."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from app.platforms.postback.presets import DEFAULT
from app.platforms.presets import PRESETS as CHECKOUTS
from app.platforms.registry import PLATFORMS, platform_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "app" / "platforms"
NETWORKS = frozenset(PLATFORMS["postback"].presets) - {DEFAULT}
WORDS = frozenset({"generic", "postback"})
"""Platforms whose names are words of English and of the field: they are named by a text that is nothing else, or by an import of their folder."""
VENDORS = (PLATFORMS.keys() | CHECKOUTS.keys() | NETWORKS) - WORDS
VENDOR = re.compile(rf"(?<![a-z])({'|'.join(sorted(VENDORS))})(?![a-z])", re.IGNORECASE)
PARTS = ("signature", "webhook", "trial")

EXEMPT = {
    (
        "app/domain/orders.py",
        "shopify",
    ): "a brand's own server copies the shop's global id of an order: every door folds it",
    (
        "app/api/routes/sources/mappings.py",
        "generic",
    ): "mappings are this platform's own: schema and reader are taken from it",
    (
        "app/platforms/personal.py",
        "generic",
    ): "mappings are this platform's own: the places that they read are taken from it",
}
"""Where a name stays, and why."""


def own_folders(path: Path) -> bool:
    """Whether a file belongs to a platform or preset, or is the registry."""
    place = path.relative_to(FOLDER).parts if path.is_relative_to(FOLDER) else ()
    return bool(place) and place[0] in {*PLATFORMS, "presets", "registry.py"}


OTHERS = [path for path in sorted((ROOT / "app").rglob("*.py")) if not own_folders(path)]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def spoken(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The texts and identifiers of a file with their lines. Notes and docstrings are left out: they may say whose quirk it is."""
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes:
            yield node.lineno, node.value
        elif isinstance(node, ast.alias):
            yield node.lineno, f"{node.name} {node.asname or ''}"
        for field in ("id", "attr", "arg", "name", "module"):
            named = getattr(node, field, None)
            if isinstance(named, str) and not isinstance(node, ast.alias):
                yield getattr(node, "lineno", 0), named


def platforms_in(text: str) -> set[str]:
    """The platforms that a text or identifier names."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", text)
    found = {name.lower() for name in VENDOR.findall(words)}
    imported = re.match(rf"app\.platforms\.({'|'.join(WORDS)})\b", text)
    return found | ({text} & WORDS) | ({imported[1]} if imported else set())


def test_what_names_a_platform_is_recognised() -> None:
    assert (
        platforms_in("WHERE platform <> 'stripe'")
        == platforms_in("StripeReader")
        == platforms_in("stripe_only")
        == {"stripe"}
    )
    assert platforms_in("postback") == platforms_in("app.platforms.postback.webhook") == {"postback"}
    assert platforms_in("Webhooks and postbacks.") == platforms_in("drawing") == set()


def test_nothing_outside_its_folder_and_the_registry_names_a_platform() -> None:
    found = {
        (str(path.relative_to(ROOT)), name): line
        for path in OTHERS
        for line, text in spoken(tree_of(path))
        for name in platforms_in(text)
    }
    assert {place: line for place, line in found.items() if place not in EXEMPT} == {}
    assert EXEMPT.keys() - found.keys() == set(), "no longer needed"


def test_the_doors_load_no_parser_and_what_reads_messages_loads_them_all_at_once() -> None:
    """At first use it could be the parser of another release, installed under a running process."""
    parts = {f"app.platforms.{name}.{part}" for name in PLATFORMS for part in PARTS[1:]}
    for module, loaded in (("app.tracking.doors", set()), ("app.intake.deliveries.messages", parts)):
        code = f"import sys, {module}; print(*sorted(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert parts & set(done.stdout.split()) == loaded


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_a_platform_has_every_part_in_its_folder_and_a_page(name: str) -> None:
    assert {path.stem for path in (FOLDER / name).glob("*.py")} >= set(PARTS)
    assert (FOLDER / name / "guide.toml").is_file()
    assert (ROOT / "docs" / "connect" / f"{name}.md").is_file()
    assert platform_of(name).name == name


@pytest.mark.parametrize("name", sorted(CHECKOUTS))
def test_a_preset_has_its_guide_in_its_folder_and_a_page(name: str) -> None:
    assert (FOLDER / "presets" / name / "guide.toml").is_file()
    assert (ROOT / "docs" / "connect" / f"{name}.md").is_file()


@pytest.mark.parametrize("name", sorted(PLATFORMS))
def test_a_platform_imports_the_domain_the_errors_the_kit_and_itself(name: str) -> None:
    allowed = ("app.clock", "app.domain", "app.errors", "app.platforms.kit", f"app.platforms.{name}")
    if "mapping" in getattr(PLATFORMS.get(name), "settings", {}):
        allowed += ("app.platforms.presets",)
    modules = {
        module
        for path in (FOLDER / name).glob("*.py")
        for node in ast.walk(tree_of(path))
        for module in (
            [f"app.{each.name}" for each in node.names]
            if isinstance(node, ast.ImportFrom) and node.module == "app"
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [each.name for each in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if module.partition(".")[0] == "app"
    }
    assert {module for module in modules if not module.startswith(allowed)} == set()
