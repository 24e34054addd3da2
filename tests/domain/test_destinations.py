"""Destinations: what is refused and why, and that no query whatever can break a Location or smuggle in a click id."""

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.destinations import (
    DESTINATION_MAX_CHARS,
    FORWARDED_MAX_BYTES,
    Forwarding,
    address,
    apply_utm,
    check_click_param,
    check_destination,
    mend_destination,
    take_apart,
)

LOCATION = re.compile(rb"https?://[\x21-\x7e]+")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must be an address"),
        ("shop.example/page", "must begin with https://"),
        ("//shop.example/page", "must begin with https://"),
        ("javascript:alert(1)", "not javascript:"),
        ("JaVaScRiPt://shop.example/%0aalert(1)", "not javascript:"),
        ("data:text/html,x", "not data:"),
        ("ftp://shop.example/", "not ftp:"),
        ("x" * 33 + "://shop.example/", f"not {'x' * 32}:"),
        ("https:shop.example", "must have // after https:"),
        ("https://", "has no host"),
        ("https:///page", "has no host"),
        ("https://:443/page", "has no host"),
        ("https://?x=1", "has no host"),
        ("https://lea@shop.example/", "user name"),
        ("https://lea:secret@shop.example/", "user name"),
        ("https://shop.example\\@evil.example/", "backslash"),
        ("https://shop.example:99999/", "port"),
        ("https://shop.example:x/", "port"),
        ("https://shop.example:0/", "a port that is no number from 1 to 65535"),
        ("https://shop.example:65536/", "port"),
        ("https://shop.example:٨٠/", "port"),
        (f"https://{'a.' * 126}ab/", "no valid domain name"),
        (f"https://{'a' * 64}.example/", "no valid domain name"),
        ("https://shop.example" + "/" * 2_029, "is 2049 characters long; at most 2048"),
        ("https://shop.example" + "/" * 2_026 + "é", "is 2052 characters long once encoded; at most 2048"),
        ("https://shop.example/\x00a", "control characters"),
        ("https://shop.example:8080:80/p", "has two ports"),
        ("https://shop.123/", "ends in a number and is no IPv4 address"),
        ("https://2130706433/", "ends in a number and is no IPv4 address"),
        ("https://shop.0x7f/", "ends in a number and is no IPv4 address"),
        ("https://sh\u200bop.example/", "an invisible character (U+200B) in its host"),
        ("https://shop.example\ufeff/p", "an invisible character (U+FEFF) in its host"),
        ("https://sh\u00adop.example/", "an invisible character (U+00AD) in its host"),
        ("https://-☃.example/", "no valid domain name"),
        ("https://👨\u200d👩\u200d👧.example/", "no valid domain name"),
        ("https://shop.example/a\r\nSet-Cookie:x=1", "control characters"),
        ("java\tscript:alert(1)", "control characters"),
        ("https://shop.example/\x85a", "control characters"),
        ("https://shop.example/\ud800", "no valid text"),
        ("https://shop..example/", "no valid domain name"),
        ("https://-shop.example/", "no valid domain name"),
        ("https://sh op.example/", "has a space in its host"),
        ("https://xn--a/", "no valid domain name"),
        ("https://[::zz]/", "has a host"),
        ("https://[::1/", "has a host"),
        ("https://shop.example/" + "a" * DESTINATION_MAX_CHARS, "at most 2048"),
        ("https://shop.example/" + "é" * 1000, "once encoded; at most 2048"),
    ],
)
def test_an_address_that_cannot_be_a_destination_is_refused_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        check_destination(url)


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://shop.example", "https://shop.example/"),
        ("  HTTPS://Shop.EXAMPLE/Page ", "https://shop.example/Page"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("http://[2001:DB8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ("https://shop.example:/x", "https://shop.example/x"),
        ("https://my_shop.example/", "https://my_shop.example/"),
        ("https://shop.example.:65535/", "https://shop.example.:65535/"),
        ("https://shop.example:01/", "https://shop.example:1/"),
        (f"https://{'a.' * 126}a/", f"https://{'a.' * 126}a/"),
        ("https://shop.example" + "/" * 2_028, "https://shop.example" + "/" * 2_028),
        ("https://[::1]/", "https://[::1]/"),
        ("\ufeff\u200bhttps://shop.example/p\u200b\u00a0\n", "https://shop.example/p"),
        ("https://i❤️.ws/", "https://xn--i-7iq.ws/"),
        ("https://XN--I-7IQ.ws/", "https://xn--i-7iq.ws/"),
        ("https://👍🏽.ws/", "https://xn--on8h5e.ws/"),
        ("https://love-☃.example/", "https://xn--love--nb1c.example/"),
        ("https://نامه\u200cای.com/", "https://xn--mgba3gch31f060k.com/"),
        (
            "https://shop.example/🏴󠁧󠁢󠁥󠁮󠁧󠁿",
            "https://shop.example/%F0%9F%8F%B4%F3%A0%81%A7%F3%A0%81%A2%F3%A0%81%A5%F3%A0%81%AE%F3%A0%81%A7%F3%A0%81%BF",
        ),
        ("https://shop.example/?a=1&amp;b=2&#038;c=3&amp;amp;d=4", "https://shop.example/?a=1&b=2&c=3&d=4"),
        ("https://shop.example/?a=salt&amp;pepper", "https://shop.example/?a=salt&amp;pepper"),
        ("https://shop.example/p?fbclid=x&a=1&gclid=y&IGSH=z&_gl=1*a#top", "https://shop.example/p?a=1#top"),
        ("https://shop.example/p?msclkid=x&ttclid=y", "https://shop.example/p"),
        ("https://shop.example/p?fbclid_of=x", "https://shop.example/p?fbclid_of=x"),
        ("https://ｓｈｏｐ.example/", "https://shop.example/"),
        ("https://XN--Mnchen-3ya.example/", "https://xn--mnchen-3ya.example/"),
        (
            "https://münchen.example/straße?q=größe#über",
            "https://xn--mnchen-3ya.example/stra%C3%9Fe?q=gr%C3%B6%C3%9Fe#%C3%BCber",
        ),
        ("https://shop.example/a b?c=d e", "https://shop.example/a%20b?c=d%20e"),
        ("https://shop.example/50%?off=100%25", "https://shop.example/50%25?off=100%25"),
        ("https://shop.example/?a=<b>\"'", "https://shop.example/?a=%3Cb%3E%22'"),
        ("https://shop.example/#/product/7?x=1", "https://shop.example/#/product/7?x=1"),
    ],
)
def test_a_good_address_is_stored_in_its_one_safe_spelling(url: str, stored: str) -> None:
    assert check_destination(url) == stored
    assert check_destination(stored) == stored


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_is_accepted_is_one_line_of_visible_ascii(path: str, query: str) -> None:
    try:
        checked = check_destination(f"https://shop.example/{path}?{query}")
    except ValueError:
        return
    assert LOCATION.fullmatch(checked.encode())
    assert urlsplit(checked).hostname == "shop.example"
    assert check_destination(checked) == checked


def test_the_click_id_goes_into_the_query_and_the_fragment_stays_last() -> None:
    destination = take_apart("https://shop.example/#/p/7?x=1", "ariane")
    assert destination.prefix + b"clk_1" + destination.suffix == b"https://shop.example/?ariane=clk_1#/p/7?x=1"
    assert destination.plain == b"https://shop.example/#/p/7?x=1"


def test_an_old_click_id_in_the_destination_is_replaced_also_when_its_name_is_encoded() -> None:
    destination = take_apart("https://shop.example/?%61riane=old&a=1&ariane=older", "ariane")
    assert address(destination, b"clk_1", b"") == b"https://shop.example/?a=1&ariane=clk_1"
    assert address(destination, b"", b"") == b"https://shop.example/?a=1"


def test_what_was_mended_in_an_address_is_told() -> None:
    mended = mend_destination("https://shop.example/?gclid=1&amp;a=2&fbclid=3&fbclid=4")
    assert (mended.url, mended.entities_decoded, mended.removed) == (
        "https://shop.example/?a=2",
        True,
        ("gclid", "fbclid"),
    )
    plain = mend_destination(" https://shop.example/?a=1&b=2")
    assert (plain.entities_decoded, plain.removed) == (False, ())


APPENDED = b"utm_source=ig&utm_medium=social&utm_term=x%20y&dub_id=forged&d%75b_id=forged&fbclid=IwZ&tag=other"


def test_what_the_link_says_stands_against_what_an_app_appends() -> None:
    destination = take_apart("https://shop.example/p?tag=own&utm_source=lea&utm_medium=influencer#top", "dub_id")
    assert address(destination, b"clk_1", APPENDED) == (
        b"https://shop.example/p?tag=own&utm_source=lea&utm_medium=influencer&dub_id=clk_1&utm_term=x%20y&fbclid=IwZ#top"
    )
    assert address(destination, b"clk_1", b"dub_id=forged&tag=other").endswith(
        b"&utm_medium=influencer&dub_id=clk_1#top"
    )
    assert address(destination, b"", b"dub_id=forged").endswith(b"/p?tag=own&utm_source=lea&utm_medium=influencer#top")


def test_a_link_may_let_the_visitors_query_win_or_forward_nothing_of_it() -> None:
    url = "https://shop.example/p?tag=own&size=m&utm_source=lea#top"
    assert address(take_apart(url, "dub_id", "incoming_wins"), b"clk_1", APPENDED) == (
        b"https://shop.example/p?size=m&dub_id=clk_1&utm_source=ig&utm_medium=social&utm_term=x%20y&fbclid=IwZ&tag=other#top"
    )
    nothing = take_apart(url, "dub_id", "nothing")
    assert (
        address(nothing, b"clk_1", APPENDED) == b"https://shop.example/p?tag=own&size=m&utm_source=lea&dub_id=clk_1#top"
    )
    assert address(nothing, b"", APPENDED) == url.encode()


def test_bytes_that_may_not_stand_in_an_address_are_encoded_in_capitals() -> None:
    destination = take_apart("https://shop.example/", "ariane")
    assert address(destination, b"", b'q=\xfe "x"&\xe9=1') == b"https://shop.example/?q=%FE%20%22x%22&%E9=1"


def test_a_forwarded_query_is_cut_between_parameters() -> None:
    destination = take_apart("https://shop.example/", "ariane")
    found = address(destination, b"clk_1", b"a=1&b=" + b"x" * FORWARDED_MAX_BYTES)
    assert found == b"https://shop.example/?ariane=clk_1&a=1"
    assert FORWARDED_MAX_BYTES == 2_048
    exact = b"a=" + b"x" * (FORWARDED_MAX_BYTES - 2)
    assert address(destination, b"", exact + b"&b=2") == b"https://shop.example/?" + exact
    assert address(destination, b"", b"x" * (FORWARDED_MAX_BYTES + 1)) == b"https://shop.example/"


@given(st.binary(max_size=200))
def test_no_incoming_query_can_break_the_location_or_bring_its_own_click_id(query: bytes) -> None:
    destination = take_apart("https://shop.example/p?a=1&b=2#end", "ariane")
    found = address(destination, b"clk_1", query)
    assert LOCATION.fullmatch(found)
    assert found.startswith(b"https://shop.example/p?")
    assert found.endswith(b"#end")
    parameters = parse_qsl(urlsplit(found.decode()).query, keep_blank_values=True)
    assert [value for name, value in parameters if name == "ariane"] == ["clk_1"]


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "ariane"]), st.sampled_from(["1", "", "é"])), max_size=6))
def test_every_parameter_ends_up_as_the_one_who_wins_says(incoming: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    winners: tuple[Forwarding, ...] = ("link_wins", "incoming_wins")
    for forwarding in winners:
        _check_winner(incoming, urlencode(incoming).encode(), forwarding)


def _check_winner(incoming: list[tuple[str, str]], query: bytes, forwarding: Forwarding) -> None:
    destination = take_apart("https://shop.example/?a=link&b=link", "ariane", forwarding)
    found = parse_qsl(urlsplit(address(destination, b"id", query).decode()).query, keep_blank_values=True)
    named = {name for name, _ in incoming}
    for name in ("a", "b", "c"):
        wanted = [value for key, value in incoming if key == name]
        if name != "c" and (name not in named or forwarding == "link_wins"):
            wanted = ["link"]
        assert [value for key, value in found if key == name] == wanted


def test_utm_replaces_what_the_address_says_and_keeps_the_rest() -> None:
    url = "https://shop.example/p?utm_source=old&a=1#top"
    assert (
        apply_utm(url, {"source": "Léa & co", "utm_medium": "influencer", "term": None, "content": ""})
        == "https://shop.example/p?a=1&utm_source=L%C3%A9a%20%26%20co&utm_medium=influencer#top"
    )
    assert apply_utm(url, {}) == url
    assert apply_utm("https://shop.example/", {"source": None}) == "https://shop.example/"
    assert apply_utm("https://shop.example/", {"id": "x" * 256}) == "https://shop.example/?utm_id=" + "x" * 256
    assert apply_utm("https://shop.example/", {"source": "x" * 2}) == "https://shop.example/?utm_source=xx"
    longest = "https://shop.example/" + "a" * (DESTINATION_MAX_CHARS - 32)
    assert len(apply_utm(longest, {"id": "xyz"})) == DESTINATION_MAX_CHARS == 2_048
    with pytest.raises(ValueError, match="is 2049 characters long with its UTM parameters; at most 2048"):
        apply_utm(longest, {"id": "wxyz"})


@pytest.mark.parametrize(
    ("utm", "reason"),
    [
        ({"colour": "red"}, "colour: is none of"),
        ({"source": "x" * 257}, "source: is 257 characters long; at most 256"),
        ({"c" * 41: "red"}, f"{'c' * 40}: is none of source, medium, campaign, term, content, id"),
        ({"source": "a\x00"}, "source: must not contain control"),
        ({"source": "\ud800"}, "source: contains characters"),
    ],
)
def test_a_wrong_utm_value_is_refused_by_name(utm: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        apply_utm("https://shop.example/", utm)


def test_utm_cannot_make_an_address_longer_than_the_limit() -> None:
    with pytest.raises(ValueError, match="with its UTM parameters"):
        apply_utm("https://shop.example/" + "a" * 1900, {"source": "é" * 100})


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a&b", "é", "x" * 65])
def test_a_click_parameter_must_be_a_plain_name(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64"):
        check_click_param(name)
    assert check_click_param("dub_id") == "dub_id"
    assert check_click_param("x" * 64) == "x" * 64


def test_a_plus_in_the_name_of_a_parameter_is_a_space() -> None:
    link = take_apart("https://shop.example/?a%20b=1&c=2", "ariane")
    assert address(link, b"", b"a+b=3") == b"https://shop.example/?a%20b=1&c=2"
    link = take_apart("https://shop.example/?a+b=1", "ariane", "incoming_wins")
    assert address(link, b"", b"a%20b=3") == b"https://shop.example/?a%20b=3"
