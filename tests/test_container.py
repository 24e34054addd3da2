"""The container file, step by step, in an empty environment: where no Docker engine runs, this is what can be shown.

Every instruction of the Dockerfile is carried out in a directory that stands for the image's root: COPY copies, RUN runs with nothing but the
variables that ENV set, USER is an ordinary user where the tests run as root, CMD and HEALTHCHECK are the commands themselves. Not shown: the base
image, and the isolation. It installs everything anew, so it runs where ARIANE_TESTS_CONTAINER is set (CI sets it) and says so elsewhere.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.served import free_port

ROOT = Path(__file__).resolve().parent.parent
PASSED_ON = ("PIP_", "SSL_CERT_", "https_proxy", "http_proxy", "no_proxy")
START_TIMEOUT_S = 60.0


@dataclass
class Image:
    """A directory that stands for an image's root."""

    root: Path
    workdir: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)

    def inside(self, path: str) -> Path:
        """A path of the image, on this machine."""
        return self.root / os.path.normpath(os.path.join(self.workdir, path)).lstrip("/")

    def translate(self, text: str) -> str:
        """The image's own absolute directories, on this machine."""
        return re.sub(r"(?<![\w.])/(srv/ariane|var/lib/ariane)", rf"{self.root}/\1", text)

    def variables(self) -> dict[str, str]:
        """Exactly what ENV set, and where this machine's package index is."""
        search = f"{self.root.parent / 'interpreter'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
        found = {name: self.translate(value.replace("$PATH", search)) for name, value in self.environment.items()}
        passed = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
        return {"PATH": search, "HOME": str(self.root / "root"), **passed, **found}


def instructions(text: str) -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())
    ]


INTERPRETERS = ("/usr/local/bin/python3", "/usr/bin/python3", str(Path(sys.executable).resolve()))


def find_interpreter() -> Path:
    """A Python as the base image has one: where an ordinary user reaches it, if this machine has such a one."""
    probe = "import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))"
    usable = [
        Path(path)
        for path in INTERPRETERS
        if Path(path).exists() and subprocess.run([path, "-c", probe], capture_output=True, check=False).returncode == 0
    ]
    return next((path for path in usable if reachable(path)), usable[-1])


def reachable(path: Path) -> bool:
    """Whether an ordinary user may enter every directory above this file."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def build(directory: Path) -> Image:
    """Carries the Dockerfile out; the last stage."""
    stages: dict[str, Image] = {}
    (directory / "interpreter").mkdir()
    for name in ("python", "python3"):
        (directory / "interpreter" / name).symlink_to(find_interpreter())
    image = Image(directory / "none")
    for word, rest in instructions((ROOT / "Dockerfile").read_text()):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            assert re.fullmatch(r"python:3\.1[123]-slim-\w+@sha256:[0-9a-f]{64}", base)
            image = Image(directory / (name or "final"))
            (image.root / "root").mkdir(parents=True)
            (image.root / "etc").mkdir()
            for file in ("passwd", "group", "shadow"):
                (image.root / "etc" / file).write_text("")
            stages[name] = image
        elif word == "WORKDIR":
            image.workdir = rest
            image.inside(".").mkdir(parents=True, exist_ok=True)
        elif word == "ENV":
            image.environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "COPY":
            copy(image, stages, rest)
        elif word == "RUN":
            run(image, rest)
        elif word == "USER":
            image.user = rest
        elif word == "CMD":
            image.command = json.loads(rest)
        elif word == "HEALTHCHECK":
            image.health = json.loads(rest.partition(" CMD ")[2])
        else:
            assert word in ("VOLUME", "EXPOSE", "STOPSIGNAL"), word
    return image


def copy(image: Image, stages: dict[str, Image], rest: str) -> None:
    words = rest.split()
    origin = ROOT
    if words[0].startswith("--from="):
        origin = stages[words.pop(0).removeprefix("--from=")].root
    *sources, target = words
    for source in sources:
        found, place = origin / source.lstrip("/"), image.inside(target)
        if found.is_dir():
            shutil.copytree(
                found, place, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(found, place / found.name if target.endswith("/") else place)


def run(image: Image, rest: str) -> None:
    # The image's own user data base, not this machine's.
    script = rest.replace("useradd ", f"useradd --prefix {image.root} ")
    if os.geteuid() != 0:
        script = re.sub(r"^useradd .*", "true", script)
    done = subprocess.run(
        ["bash", "-ec", image.translate(script)],
        cwd=image.inside("."),
        env=image.variables(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"RUN {rest}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    if not os.environ.get("ARIANE_TESTS_CONTAINER"):
        pytest.skip("installs everything anew; set ARIANE_TESTS_CONTAINER=1 (CI does)")
    return build(tmp_path_factory.mktemp("image"))


def test_the_image_serves_is_healthy_and_stops(image: Image) -> None:
    assert image.user != "root"
    port = str(free_port())
    # A copied virtual environment names the build stage in its scripts, as the image's own paths are the same in both stages.
    build_root = str(image.root.parent / "build")
    for script in image.inside(".venv/bin").iterdir():
        if script.is_file() and not script.is_symlink() and build_root.encode() in script.read_bytes():
            script.write_bytes(script.read_bytes().replace(build_root.encode(), str(image.root).encode()))
    for link in image.inside(".venv").rglob("*.pth"):
        link.write_text(link.read_text().replace(build_root, str(image.root)))
    environment = {**image.variables(), "HOST": "127.0.0.1", "PORT": port, "HOME": str(image.root / "var/lib/ariane")}
    (image.root / "var/lib/ariane").mkdir(parents=True, exist_ok=True)
    as_user: dict[str, Any] = {}
    # As root in a private home with no other Python, USER cannot be carried out: the interpreter itself is out of an ordinary user's reach.
    if os.geteuid() == 0 and reachable(find_interpreter()):
        as_user = {"user": 65534, "group": 65534, "extra_groups": []}
        open_to_user(image.root)
    log = image.root.parent / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            image.command, cwd=image.inside("."), env=environment, stdout=output, stderr=output, **as_user
        )
    try:
        health = [word.replace(":8000", f":{port}") for word in image.health]
        deadline = time.monotonic() + START_TIMEOUT_S
        while subprocess.run(health, env=environment, capture_output=True, check=False).returncode != 0:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert process.returncode == 0


def open_to_user(root: Path) -> None:
    """What Docker's root directory gives for free: an ordinary user may read the image and owns its volume."""
    for path in [root, *root.parents]:
        if (
            path.owner() == "root"
            and path.stat().st_mode & 0o055 != 0o055
            and path.is_relative_to(tempfile.gettempdir())
        ):
            path.chmod(path.stat().st_mode | 0o055)
    for path in [root / "var/lib/ariane", *(root / "var/lib/ariane").rglob("*")]:
        os.chown(path, 65534, 65534)


def test_the_compose_file_names_settings_that_exist_and_keeps_the_spool() -> None:
    from app.settings import Settings, variable

    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    known = {variable(field) for field in Settings.__struct_fields__}
    environment = services["ariane"]["environment"]
    assert set(environment) - {"PGPASSWORD"} <= known
    # The password is passed as it is: in an address its special characters would have to be escaped.
    assert environment["PGPASSWORD"] == services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert "$" not in environment["DATABASE_URL"]
    assert services["ariane"]["volumes"] == ["ariane:/var/lib/ariane"]
    assert "VOLUME /var/lib/ariane" in (ROOT / "Dockerfile").read_text()


def test_every_image_is_named_by_its_digest() -> None:
    text = (ROOT / "Dockerfile").read_text() + (ROOT / "compose.yaml").read_text()
    images = re.findall(r"^(?:FROM|\s*image:) (\S+)", text, re.MULTILINE)
    assert len(images) == 3
    assert all(re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", image) for image in images)
    assert images[0] == images[1], "both stages have one Python"
