"""Mutation testing: change the code in one place, run the tests that should notice, and list the changes that none noticed.

    python -m tests.mutants [--room domain | --files app/domain/money.py … | --since HEAD~1] [--sample 150 | --sample all] [--seed 1]

The mutations are mutmut's. Its runner is not used, because it leaves out whatever is decorated or stands outside a function: the tables of `statuses`,
the limits, every function with a cache. Here each mutant lives in the memory of a forked process, and no file is written: the parent imports the
libraries once, the child imports our own modules with the mutated one among them, and ends at the first test that fails. A process that a test
starts runs the code as it is: what only such a test would notice survives.
"""

import argparse
import asyncio
import contextlib
import difflib
import gc
import importlib
import importlib.machinery
import importlib.util
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

import libcst
import pytest
from mutmut.mutation import mutators

ROOT = Path(__file__).parent.parent
EQUIVALENT = Path(__file__).parent / "mutants.toml"
"""Mutants that no test can notice, each with the reason; they are not run."""
SAMPLE = 150
"""Mutants of one run unless more are requested: five minutes for the domain."""
SCORE_MIN_PERCENT = 95
TEST_MAX_S = 20
"""Longest time one test may take before its mutant counts as killed by time, in seconds; the slowest needs 4."""
MEMORY_MAX_BYTES = 4 << 30
"""Address space of a mutant: a loop that no longer ends must not take the machine's memory."""
NOT_TIMED = "not as_fast_as"
"""Selects the tests that do not measure time: on a busy machine those fail for no fault of the mutant."""
NEXT_ROOMS = {"orders": ("intake",)}
"""Rooms whose tests run for a mutant that outlived the tests of its own room."""
SERVER_VARIABLE = "ARIANE_TESTS_SERVER"
"""The same as in conftest.py, which is not imported here: it would start what the children start."""

SURVIVED, KILLED = 0, 1

OPERATORS: Sequence[tuple[type, Any]] = [
    *mutators.mutation_operators,
    (libcst.If, mutators.operator_if_exp),
    (libcst.CompIf, mutators.operator_if_exp),
]
_NOT_MUTATED = (libcst.Annotation, libcst.Decorator, libcst.Import, libcst.ImportFrom, libcst.TypeAlias)
_TYPE_ALIAS = re.compile(r"_?[A-Z][a-z]\w*")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file. code: the whole text after it. removed, added: the lines that differ, as in a diff."""

    path: Path
    line: int
    code: str
    removed: tuple[str, ...]
    added: tuple[str, ...]

    def __str__(self) -> str:
        shown = [f"{self.path}:{self.line}"]
        return "\n".join(shown + [f"    - {line}" for line in self.removed] + [f"    + {line}" for line in self.added])


@dataclass(slots=True)
class Score:
    """The results of a file's mutants."""

    killed: int = 0
    timed_out: int = 0
    equivalent: int = 0
    survivors: list[Mutant] = field(default_factory=list)

    @property
    def run(self) -> int:
        return self.killed + self.timed_out + len(self.survivors)

    @property
    def percent(self) -> float:
        return 100 * (self.run - len(self.survivors)) / self.run if self.run else 100.0


# ── Mutants ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Places(libcst.CSTVisitor):
    """Every node that can be mutated, with its mutations. Types, decorators, imports and prose are left alone."""

    def __init__(self) -> None:
        self.found: list[tuple[libcst.CSTNode, libcst.CSTNode]] = []

    def on_visit(self, node: libcst.CSTNode) -> bool:
        if isinstance(node, _NOT_MUTATED) or _is_type_alias(node):
            return False
        if isinstance(node, libcst.Call) and isinstance(node.func, libcst.Name) and node.func.value == "isinstance":
            return False
        if isinstance(node, libcst.SimpleString) and " " in node.value:
            return False  # The wording of a message is not what the tests are about.
        for kind, operator in OPERATORS:
            if isinstance(node, kind):
                self.found.extend((node, mutation) for mutation in operator(node))
        return True


def _is_type_alias(node: libcst.CSTNode) -> bool:
    if not isinstance(node, libcst.Assign):
        return False
    target = node.targets[0].target
    return isinstance(target, libcst.Name) and _TYPE_ALIAS.fullmatch(target.value) is not None


def mutants_of(path: Path, sample: random.Random | None = None) -> Iterator[Mutant]:
    """The mutants of a file, in random order if `sample` is given. Each is a whole source text that compiles and differs from all others."""
    module = libcst.parse_module((ROOT / path).read_text())
    texts = [module.code_for_node(statement) for statement in module.body]
    head = module.code.partition("".join(texts))[0]
    found = []
    for index, statement in enumerate(module.body):
        places = _Places()
        statement.visit(places)
        found.extend((index, node, mutation) for node, mutation in places.found)
    if sample is not None:
        sample.shuffle(found)
    seen = {(index, text) for index, text in enumerate(texts)}
    for index, node, mutation in found:
        text = module.code_for_node(module.body[index].deep_replace(node, mutation))  # type: ignore[arg-type]
        if (index, text) in seen or not _compiles(text):
            continue
        seen.add((index, text))
        before, after = "".join(texts[:index]), "".join(texts[index + 1 :])
        place, removed, added = _difference(texts[index], text)
        line = (head + before).count("\n") + place
        yield Mutant(path, line, head + before + text + after, removed, added)


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _difference(before: str, after: str) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """The first line that differs, and the lines taken out and put in."""
    _, _, place, *changed = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return (
        int(re.findall(r"\d+", place)[0]),
        tuple(line[1:].strip() for line in changed if line.startswith("-")),
        tuple(line[1:].strip() for line in changed if line.startswith("+")),
    )


# ── Equivalent mutants ───────────────────────────────────────────────────────────────────────────────────────────────


class Equivalents:
    """The mutants of `mutants.toml`: by the line they change, and what they make of it where only some mutants of the line are meant."""

    def __init__(self, path: Path = EQUIVALENT) -> None:
        self._entries: list[dict[str, Any]] = tomllib.loads(path.read_text())["mutant"] if path.exists() else []
        self._met: set[int] = set()

    def holds(self, mutant: Mutant) -> bool:
        """Whether this mutant is listed."""
        for number, entry in enumerate(self._entries):
            if entry["file"] != str(mutant.path) or entry["line"] not in mutant.removed:
                continue
            if "becomes" not in entry or not set(entry["becomes"]).isdisjoint(mutant.added):
                self._met.add(number)
                return True
        return False

    def unmet(self, paths: Iterable[Path]) -> list[str]:
        """Entries about these files that fitted no mutant: the code has changed since."""
        names = {str(path) for path in paths}
        return [
            f"{entry['file']}: {entry['line']}"
            for number, entry in enumerate(self._entries)
            if entry["file"] in names and number not in self._met
        ]


# ── Running the tests ────────────────────────────────────────────────────────────────────────────────────────────────


def groups_of(path: Path) -> list[list[str]]:
    """Test files for a module, in the order they are run: those that name it, the others of its room, those of the next rooms."""
    room = path.parts[1]
    module = path.stem
    names = re.compile(rf"\b{module}\b")
    groups: list[list[str]] = [[], []]
    for file in sorted((ROOT / "tests" / room).rglob("test_*.py")):
        fitting = file.stem == f"test_{module}" or names.search(_imports(file))
        groups[0 if fitting else 1].append(str(file.relative_to(ROOT)))
    groups[0].sort(key=lambda name: Path(name).stem != f"test_{module}")
    groups += [
        sorted(str(file.relative_to(ROOT)) for file in (ROOT / "tests" / other).rglob("test_*.py"))
        for other in NEXT_ROOMS.get(room, ())
    ]
    return [group for group in groups if group]


def _imports(file: Path) -> str:
    return "\n".join(re.findall(r"^(?:from|import) [^(\n]*(?:\([^)]*\))?", file.read_text(), re.MULTILINE))


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads one module from a text instead of its file."""

    def __init__(self, name: str, path: str, code: str) -> None:
        super().__init__(name, path)
        self._code = code

    def get_code(self, fullname: str) -> CodeType | None:
        return compile(self._code, self.path, "exec", dont_inherit=True)


class _Finder:
    def __init__(self, name: str, path: Path, code: str) -> None:
        self._name = name
        self._spec = importlib.util.spec_from_file_location(name, path, loader=_Loader(name, str(path), code))

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> object:
        return self._spec if name == self._name else None


class _FirstFailure:
    """Ends the process at the first test that fails, without the teardown of what the others share."""

    def pytest_runtest_logstart(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, TEST_MAX_S)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(f"{report.nodeid}\n{report.longreprtext}", flush=True)
            os._exit(KILLED)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            os._exit(KILLED)


def _module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _child(mutant: Mutant | None, groups: Sequence[Sequence[str]], note: Path | None) -> NoReturn:
    """Runs the tests and ends the process: KILLED at the first failure, SURVIVED after the last test."""
    os.setsid()
    if note is None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, TEST_MAX_S)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
        if mutant is not None:
            quiet = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(quiet, stream)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("app", "tests")]:
        del sys.modules[name]
    if mutant is not None:
        sys.meta_path.insert(0, _Finder(_module_name(mutant.path), ROOT / mutant.path, mutant.code))  # type: ignore[arg-type]
    code = KILLED
    try:
        if server := os.environ.get(SERVER_VARIABLE):
            asyncio.run(_drop_databases(server))
        for group in groups:
            arguments = [
                "-q",
                "-x",
                "-s",
                "--no-header",
                "-p",
                "no:cacheprovider",
                "--assert=plain",
                "-k",
                NOT_TIMED,
                *group,
            ]
            code = pytest.main(arguments, plugins=[_FirstFailure()] if note is None else [])
            if code:
                break
        if note is not None:
            note.write_text(
                json.dumps([name for name in sys.modules if name.partition(".")[0] not in ("app", "tests")])
            )
    except BaseException:
        if note is not None:
            traceback.print_exc()
        code = KILLED
    finally:
        os._exit(SURVIVED if code == SURVIVED else KILLED)


def _fork(mutant: Mutant | None, groups: Sequence[Sequence[str]], note: Path | None = None) -> int:
    """The wait status of a child that ran the tests; negative is the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        _child(mutant, groups, note)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return code


def _rehearse(groups: Sequence[Sequence[str]], paths: Sequence[Path]) -> None:
    """Run the tests on the code as it is: they must pass. Then import the libraries they needed, so that no child has to.

    Last, the tests must pass in a child like those of the mutants, else whatever fails there would be counted as the work of the tests.
    """
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "modules"
        began = time.monotonic()
        if _fork(None, groups, note) != SURVIVED:
            sys.exit("the tests fail on the code as it is")
        print(f"the tests pass on the code as it is, in {time.monotonic() - began:.0f} s", flush=True)
        for name in json.loads(note.read_text()):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.freeze()  # What the parent holds is no concern of a child's collector: it would copy every page.
    if (code := _fork(None, groups_of(paths[0]))) != SURVIVED:
        sys.exit(f"the tests fail in a process that shares its libraries, or take too long there ({code})")


# ── A server for the rooms that need one ─────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def _server(groups: Iterable[Sequence[str]]) -> Iterator[None]:
    """One PostgreSQL for all mutants, where the tests use one: starting and migrating it takes longer than most tests."""
    if all(name.startswith("tests/domain/") for group in groups for name in group):
        yield
        return
    from app.database.embedded import Cluster

    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="ariane-mutants-") as place,
        Cluster(Path(place), os.environ.get("PG_BIN", ""), durable=False).run() as dsn,
    ):
        os.environ[SERVER_VARIABLE] = dsn
        yield


async def _drop_databases(server: str) -> None:
    """Drop the databases of the previous mutant, whose process ended without a teardown."""
    import asyncpg

    connection = await asyncpg.connect(server)
    for row in await connection.fetch("SELECT datname FROM pg_database WHERE datname LIKE 'test\\_%'"):
        await connection.execute(f"DROP DATABASE {row['datname']} WITH (FORCE)")
    await connection.close()


# ── The run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def run(paths: Sequence[Path], sample: int | None, seed: int) -> dict[Path, Score]:
    """The score of each file. sample: how many mutants in all, shared out by the files' mutants; None for every one."""
    equivalents = Equivalents()
    scores = {path: Score() for path in paths}
    groups = {path: groups_of(path) for path in paths}
    everything = {tuple(group): None for each in groups.values() for group in each}
    chosen = _chosen(paths, sample, seed, equivalents, scores)
    print(f"{sum(map(len, chosen.values()))} mutants of {len(paths)} files, seed {seed}", flush=True)
    with _server(everything):
        _rehearse([sorted({name for group in everything for name in group})], paths)
        for path, mutants in chosen.items():
            began = time.monotonic()
            for mutant in mutants:
                code = _fork(mutant, groups[path])
                if code == SURVIVED:
                    scores[path].survivors.append(mutant)
                    print(mutant, flush=True)
                elif code < 0:
                    scores[path].timed_out += 1
                else:
                    scores[path].killed += 1
            print(_row(str(path), scores[path]), f"{time.monotonic() - began:5.0f} s", flush=True)
    if sample is None and (unmet := equivalents.unmet(paths)):
        sys.exit(f"{EQUIVALENT.name} lists mutants that do not exist any more:\n" + "\n".join(unmet))
    return scores


def _chosen(
    paths: Sequence[Path], sample: int | None, seed: int, equivalents: Equivalents, scores: dict[Path, Score]
) -> dict[Path, list[Mutant]]:
    if sample is None:
        chosen = {path: list(mutants_of(path)) for path in paths}
    else:
        # A file's share follows its length; a file is drawn from by a generator of its own, so that its sample does not depend on the others.
        sizes = {path: (ROOT / path).stat().st_size for path in paths}
        shares = {path: -(-sample * size // sum(sizes.values())) for path, size in sizes.items()}
        chosen = {}
        for path in paths:
            drawn = mutants_of(path, random.Random(f"{seed} {path}"))
            chosen[path] = [mutant for mutant, _ in zip(drawn, range(shares[path]), strict=False)]
    for path, mutants in chosen.items():
        chosen[path] = [mutant for mutant in mutants if not equivalents.holds(mutant)]
        scores[path].equivalent = len(mutants) - len(chosen[path])
    return chosen


def _row(name: str, score: Score) -> str:
    return (
        f"{name:36} {score.run:5} run {score.killed:5} killed {score.timed_out:3} by time"
        f" {len(score.survivors):4} survived {score.equivalent:4} equivalent {score.percent:6.1f} %"
    )


def _paths(options: argparse.Namespace) -> list[Path]:
    if options.files:
        return [Path(name) for name in options.files]
    if options.room:
        found = sorted((ROOT / "app" / options.room).rglob("*.py"))
    else:
        names = subprocess.run(
            ["git", "diff", "--name-only", "--diff-filter=d", options.since, "--", "app"],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout.split()  # fmt: skip
        found = [ROOT / name for name in names if name.endswith(".py")]
    paths = [path.relative_to(ROOT) for path in found if path.stat().st_size]
    return [path for path in paths if len(path.parts) > 2 and (ROOT / "tests" / path.parts[1]).is_dir()]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--room", default="", help="a folder of app/, such as domain")
    parser.add_argument("--files", nargs="*", default=[], help="files, such as app/domain/money.py")
    parser.add_argument("--since", default="HEAD", help="without room and files: what changed since this commit")
    parser.add_argument("--sample", default=str(SAMPLE), help=f"how many mutants ({SAMPLE}), or all")
    parser.add_argument("--seed", type=int, default=1, help="draws another sample")
    options = parser.parse_args()
    os.nice(19)
    os.chdir(ROOT)
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    paths = _paths(options)
    if not paths:
        sys.exit(
            f"nothing in app/ that has tests changed since {options.since}: name a room, files, or an older commit"
        )
    scores = run(paths, None if options.sample == "all" else int(options.sample), options.seed)
    total = Score(
        sum(score.killed for score in scores.values()),
        sum(score.timed_out for score in scores.values()),
        sum(score.equivalent for score in scores.values()),
        [mutant for score in scores.values() for mutant in score.survivors],
    )
    print(_row("all", total))
    if total.percent < SCORE_MIN_PERCENT:
        sys.exit(f"less than {SCORE_MIN_PERCENT} % of the mutants are killed: add a test, or make the code say less")


if __name__ == "__main__":
    main()
