"""Output of commands: JSON for programs, tables for people, as wide as the terminal; in a pipe one whole line per row, to be searched."""

import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

LOOK_AT_IT = 3
"""Exit status of a command that was done and leaves something to look at."""
PIPE_COLUMNS = 2_000
ROOMY_COLUMNS = 120
"""Least width at which tables show more than the most important columns, in characters."""


def columns() -> int:
    """Width of the terminal, PIPE_COLUMNS where there is none."""
    return shutil.get_terminal_size((PIPE_COLUMNS, 1)).columns


def console(width: int | None = None) -> "Console":
    """The console for tables, as wide as the terminal unless `width` is given."""
    from rich.console import Console

    return Console(width=width or columns(), markup=False, highlight=False)


def print_json(words: object) -> None:
    """Print JSON, indented."""
    print(json.dumps(words, indent=2, ensure_ascii=False))


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, cut: Collection[str], wide: bool = False
) -> None:
    """Print one line per row. In a narrow terminal the columns named in `cut` end in …; the others stay whole, to be copied into another command.

    wide: nothing is cut; lines may then be longer than the terminal.
    """
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        # Rich narrows columns that may wrap first; these never wrap, because each cell is one line.
        shown.add_column(header, overflow="ellipsis", no_wrap=header not in cut, min_width=len(header))
    for row in rows:
        texts = [Text(" ".join(printable(cell).split()), overflow="ellipsis", no_wrap=True) for cell in row]
        shown.add_row(*texts)
    console(PIPE_COLUMNS if wide else None).print(shown)


def printable(text: str) -> str:
    """Text from elsewhere, without control characters that a terminal would obey."""
    return "".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text)
