"""The setup of a child process: its user, no blocked signals, and a signal when its parent dies."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """The user that a child runs as. namespace: in a user namespace where `uid` maps to root, so that it can still reach root's files."""

    uid: int
    gid: int
    namespace: bool = False

    @property
    def owner(self) -> tuple[int, int]:
        """The uid and gid that own its files outside the namespace."""
        return (0, 0) if self.namespace else (self.uid, self.gid)

    @classmethod
    def nobody(cls, *, namespace: bool) -> "Identity":
        """`nobody`, or else another user of /etc/passwd that is not root. Raises LookupError when there is none."""
        entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
        if not entries:
            raise LookupError("/etc/passwd names nobody but root")
        entry = entries.get("nobody") or next(iter(entries.values()))
        return cls(entry.pw_uid, entry.pw_gid, namespace)

    def reaches(self, path: Path) -> bool:
        """Whether this user can reach `path` through every folder and enter or run it. The kernel decides, because of ACLs."""
        test = subprocess.run(  # noqa: S603  the command is constant
            ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)],
            check=False,
            cwd="/",
            preexec_fn=child_setup(self, signal.SIGKILL),
        )
        return test.returncode == 0


def child_setup(identity: Identity | None = None, death_signal: int = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn`: become `identity` (None: stay), unblock every signal, and receive `death_signal` when the calling thread ends.

    The signal follows the thread, not the process: start long-lived children from the main thread.
    """
    return partial(_begin, identity, death_signal, os.getpid())


def _begin(identity: Identity | None, death_signal: int, parent: int) -> None:
    """Runs between fork and exec. A change of credentials clears the death signal, so it is set after; a parent that died before sends none, so
    that is checked last."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if identity is not None and identity.namespace:
        if _LIBC.unshare(CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{identity.uid} 0 1")
        Path("/proc/self/gid_map").write_text(f"{identity.gid} 0 1")
    elif identity is not None:
        os.setgroups([])
        os.setgid(identity.gid)
        os.setuid(identity.uid)
    if sys.platform == "linux":  # elsewhere a child outlives a parent that was killed
        _LIBC.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
