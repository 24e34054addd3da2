"""A command of `ariane` within the test's own process: a process of its own costs a second of the processor, and shows nothing more.

That the program itself starts, and ends with what a command says, is shown by tests/commands/test_cli.py and tests/test_docs.py.
"""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from app.cli import main


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`ariane` with these arguments and no other variables: how it ended, and what it said."""
    said, complained = io.StringIO(), io.StringIO()
    environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "220"} | variables
    status: object = 0
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", ["ariane", *arguments]),
        redirect_stdout(said),
        redirect_stderr(complained),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code
    assert isinstance(status, int), status
    return subprocess.CompletedProcess(arguments, status, said.getvalue(), complained.getvalue())
