"""The parts of a web worker that can be tried alone; whole it is tried in tests/faults."""

import os
import resource
import socket

from app.server.web_worker import _next_in_queue


def test_a_stop_ends_also_when_no_descriptor_is_left_for_those_who_wait() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        listener.setblocking(False)
        lowest_free = os.dup(listener.fileno())
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            assert _next_in_queue(listener) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        waiting = _next_in_queue(listener)
        assert waiting is not None
        waiting.close()
        assert _next_in_queue(listener) is None
