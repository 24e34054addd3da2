"""What a user names is fetched from public addresses alone, at the very address that was checked."""

from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.outgoing import guard as module
from app.outgoing.guard import BODY_MAX_BYTES, FetchFailed, Guard, is_public
from app.outgoing.names import LookUpFailed, Names
from app.settings import read_settings
from tests.outgoing.outside import Outside, outside


@pytest.fixture
async def there() -> AsyncIterator[Outside]:
    async with outside() as there:
        yield there


def names(there: Outside) -> Names:
    return Names(read_settings({}, dns_server=there.dns_server))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "198.51.100.1", "224.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    ],
)  # fmt: skip
def test_no_address_of_this_machine_or_network_is_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.215.14", "2a01:cb00::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_no_more_public_for_being_carried_in_an_ipv6_one(address: object) -> None:
    plain = ip_address(str(address))
    for carried in (f"::ffff:{plain}", f"64:ff9b::{plain}"):
        assert is_public(ip_address(carried)) == is_public(plain)


async def test_what_leads_elsewhere_is_fetched_and_what_leads_inside_is_not(there: Outside) -> None:
    there.addresses = {
        "shop.example": [["127.0.0.1"]],
        "both.example": [["8.8.8.8", "10.0.0.1"]],
        "meta.example": [["169.254.169.254"]],
    }
    there.files = {("shop.example", "/hello"): b"hello", ("shop.example", "/inside"): b"->http://127.0.0.1/secret"}
    allowing, strict = Guard(names(there), "127.0.0.0/8"), Guard(names(there))
    base = f"http://shop.example:{there.port}"
    assert await allowing.get(f"{base}/hello") == (200, b"hello")
    assert await allowing.get(f"{base}/nothing") == (404, b"")
    assert (await allowing.get(f"{base}/inside"))[0] == 302  # not followed
    assert there.asked == [("shop.example", "/hello"), ("shop.example", "/nothing"), ("shop.example", "/inside")]
    there.asked.clear()
    for url in (
        f"{base}/hello",
        "http://both.example/",
        "http://meta.example/latest/meta-data/",
        f"http://127.0.0.1:{there.port}/hello",
        "http://[::1]/",
    ):
        with pytest.raises(FetchFailed, match="no public address"):
            await strict.get(url)
    for url in ("http://nobody.example/", "ftp://shop.example/", "http://2130706433/"):
        with pytest.raises(FetchFailed):
            await allowing.get(url)
    assert there.asked == []


async def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing(there: Outside) -> None:
    """The first look-up says a public address, the second this machine: the one that was checked is connected to, or none."""
    there.addresses = {"rebind.example": [["192.0.2.1"], ["127.0.0.1"]]}
    guard = Guard(names(there), "192.0.2.0/24")
    with pytest.raises(FetchFailed):
        await guard.get(f"http://rebind.example:{there.port}/hello")
    assert there.asked == []


async def test_a_body_without_end_and_a_server_that_says_nothing_cost_little(
    there: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FETCH_MAX_S", 0.5)
    there.addresses = {"shop.example": [["127.0.0.1"]]}
    there.files = {("shop.example", "/large"): b"x" * (8 << 20)}
    guard = Guard(names(there), "127.0.0.0/8")
    assert await guard.get(f"http://shop.example:{there.port}/large") == (200, b"x" * BODY_MAX_BYTES)
    there.silent = {"silent.example"}
    with pytest.raises(FetchFailed, match="did not answer within"):
        await guard.get("http://silent.example/")


async def test_names_are_looked_up_and_what_there_is_not_is_said(there: Outside) -> None:
    there.texts = {"_ariane.shop.example": ["v=spf1", "ariane-host=1"]}
    there.addresses = {"shop.example": [["8.8.8.8", "2a01:cb00::1"]]}
    asking = names(there)
    assert sorted(await asking.texts("_ariane.shop.example")) == ["ariane-host=1", "v=spf1"]
    assert sorted(await asking.addresses("shop.example")) == ["2a01:cb00::1", "8.8.8.8"]
    for look_up in (asking.texts, asking.addresses):
        with pytest.raises(LookUpFailed, match=r"nobody\.example has no"):
            await look_up("nobody.example")
