"""Whose word about an address is taken."""

import pytest

from app.tracking.trusted_proxies import NOTICED_AFTER_CLICKS, Proxies, UntrustedProxy

TRUSTED = "10.0.0.0/8, 2001:db8:ffff::/48"


def client(peer: str, *forwarded: str, trusted: str = TRUSTED) -> str:
    return Proxies(trusted).client(peer, [(b"x-forwarded-for", value.encode()) for value in forwarded])


def test_nothing_is_believed_without_trusted_proxies() -> None:
    assert not Proxies("")
    assert client("10.0.0.1", "198.51.100.9", trusted="") == "10.0.0.1"


def test_a_stranger_cannot_choose_its_address() -> None:
    assert client("203.0.113.7", "198.51.100.9") == "203.0.113.7"


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (["198.51.100.9"], "198.51.100.9"),
        (["1.1.1.1, 198.51.100.9"], "198.51.100.9"),
        (["1.1.1.1, 198.51.100.9, 10.2.3.4"], "198.51.100.9"),
        (["1.1.1.1", "198.51.100.9, 10.2.3.4"], "198.51.100.9"),
        (["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        (["198.51.100.9:4711, 10.2.3.4:80"], "198.51.100.9"),
        (["[2001:db8::7]:4711, 10.2.3.4"], "2001:db8::7"),
        (["2001:db8::7, 2001:db8:ffff::1"], "2001:db8::7"),
        (["::ffff:198.51.100.9"], "198.51.100.9"),
        (["198.51.100.9, unknown, 10.2.3.4"], "10.2.3.4"),
        (["198.51.100.9, "], "10.0.0.1"),
        ([], "10.0.0.1"),
        (["1.1.1.1, " + ", ".join(["10.0.0.2"] * 40)], "10.0.0.2"),
    ],
)
def test_behind_our_proxies_the_first_strange_address_from_the_right_counts(forwarded: list[str], address: str) -> None:
    assert client("10.0.0.1", *forwarded) == address


def test_a_proxy_that_connects_by_ipv6_with_an_ipv4_address_is_known() -> None:
    assert client("::ffff:10.0.0.1", "198.51.100.9") == "198.51.100.9"


def test_one_address_that_forwards_several_clients_again_and_again_is_taken_for_a_proxy() -> None:
    watch = UntrustedProxy()
    for n in range(NOTICED_AFTER_CLICKS - 1):
        watch.forwarded("10.0.0.1", b"198.51.100.%d" % n)
        assert watch.peer == ""
    watch.forwarded("10.0.0.1", b"198.51.100.1")
    assert watch.peer == "10.0.0.1"
    watch.direct()
    assert (watch.peer, watch.in_a_row) == ("", 0)


def test_a_visitor_who_forges_the_header_is_none() -> None:
    watch = UntrustedProxy()
    for _ in range(NOTICED_AFTER_CLICKS * 2):  # one browser behind the proxy of its company, clicking on and on
        watch.forwarded("10.0.0.1", b"198.51.100.1")
    assert watch.peer == ""
    watch.forwarded("10.0.0.1", b"198.51.100.2")
    assert watch.peer == "10.0.0.1"
    watch.forwarded("10.0.0.2", b"198.51.100.2")
    assert (watch.peer, watch.in_a_row) == ("", 1)
