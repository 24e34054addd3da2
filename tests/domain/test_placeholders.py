"""Template variables that nobody filled in are no ids; whatever a shop may call an order, a click or a code is one."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.placeholders import Unfilled, read_id, variable_in
from app.domain.strict_json import TEXT_CHARACTERS_MAX

LEFT = [
    "{{ order.id }}", "{{order.id}}", "{{ order.name | json }}", "{{{order.id}}}", "{order_id}", "{ order_id }", "{$order->id}", "{$order.id|escape}",
    "{}", "${order.id}", "#{order.id}", "@{orderId}", "{% order.id %}", "[[id]]", "[[ order.id ]]", "[ORDER_ID]", "%%ORDER_ID%%", "%order_id%",
    "<order_id>", "<%= order.id %>", "<?= $order ?>", "#orderId#", "__ORDER_ID__", "*|ORDER_ID|*", "undefined", "Undefined", "null", "NULL", "(null)",
    "NaN", "None", "[object Object]", "[object Undefined]", "<nil>",
]  # fmt: skip


@pytest.mark.parametrize("text", LEFT)
def test_a_variable_that_nobody_filled_in_is_no_id(text: str) -> None:
    assert variable_in(text)
    with pytest.raises(Unfilled, match=r"^is '"):
        read_id(f" {text} ")


@pytest.mark.parametrize(
    ("text", "left"),
    [("order-{{ order.id }}", "{{ order.id }}"), ("a [[id]] b", "[[id]]"), ("R%%ID%%", "%%ID%%"), ("x-${id}", "${id}"), ("#{order_id}", "#{order_id}"),
     ("shop-[object Object]", "[object Object]")],
)  # fmt: skip
def test_a_variable_within_an_id_is_named(text: str, left: str) -> None:
    assert variable_in(text) == left
    with pytest.raises(Unfilled) as refused:
        read_id(text)
    assert left in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["#1001", "1001", "A{1}", "100%", "a_b", "[1001]", "<3", "Null-7", "%20x", "nullarbor", "NAN", "NONE", "nan10", "undefined-1", "__", "50%off%",
     "gid://shopify/Order/7", "clk_01k0000000000000000000000a", "wc_order_abc", "cs_test_a1", "lea@brand.com", "L'été", "Ü&Ö", "$AVE", "#LEA#10"],
)  # fmt: skip
def test_what_shops_and_people_call_things_is_an_id(text: str) -> None:
    assert variable_in(text) is None
    assert read_id(text) == text


ORDINARY = string.ascii_letters + string.digits + "-_.:/@+ "


@given(st.text(ORDINARY, min_size=1, max_size=TEXT_CHARACTERS_MAX))
def test_no_text_without_brackets_and_percents_but_a_word_is_taken_for_a_variable(text: str) -> None:
    plain = text.strip()
    if plain.casefold() in {"undefined", "null"} or plain in {"NaN", "None"} or plain.strip("_") != plain:
        return
    assert variable_in(text) is None


@given(
    st.text(ORDINARY, max_size=60),
    st.sampled_from(["{{%s}}", "${%s}", "{%s}", "[[%s]]", "%%%%%s%%%%"]),
    st.text(ORDINARY, max_size=60),
)
def test_a_variable_is_found_wherever_it_stands(before: str, form: str, after: str) -> None:
    assert form % "order_id" in (variable_in(before + form % "order_id" + after) or "")


@given(st.text(max_size=300))
def test_any_text_is_judged_without_an_error_and_the_same_with_blanks_around(text: str) -> None:
    assert variable_in(text) == variable_in(f" {text}\n")
