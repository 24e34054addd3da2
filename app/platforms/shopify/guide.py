"""Shopify: order webhooks, the click id in the cart, and a custom pixel that is joined to the webhook by the checkout's token."""

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideSnippet, GuideStep, key_step, script, trial_step

EVENTS = ("Order creation", "Order payment", "Order update", "Order cancellation", "Refund create")

CART = """<script>
  ariane('click_id', function (id) {
    fetch('/cart/update.js', {
      method: 'POST',
      headers: {'Content-Type': 'application/json'},
      body: JSON.stringify({attributes: {ariane: id}})
    });
  });
</script>
"""

# `browser` is Shopify's way out of the sandbox to the shop's own storage. An order id of 0 is Shopify's word for: not known yet.
PIXEL = """const ARIANE = '<base_url>';
const KEY = '<key>';
const PARAM = '<param>';

const kept = async (name) => {
  try { return await browser.localStorage.getItem(name); } catch (forbidden) { return null; }
};

analytics.subscribe('page_viewed', async (event) => {
  const click = new URL(event.context.document.location.href).searchParams.get(PARAM);
  try { if (click) await browser.localStorage.setItem('ariane_click', click); } catch (forbidden) { /* the code still counts */ }
});

analytics.subscribe('checkout_completed', async (event) => {
  const checkout = event.data.checkout;
  const amount = (money) => (money ? money.amount : undefined);
  const attribute = (checkout.attributes || []).find((one) => one.key === 'ariane');
  const codes = (checkout.discountApplications || []).filter((one) => one.type === 'DISCOUNT_CODE').map((one) => one.title);
  const order = String((checkout.order && checkout.order.id) || '');
  let script = {};
  try { script = JSON.parse(await kept('ariane')) || {}; } catch (unreadable) { /* the theme has no script */ }
  await fetch(ARIANE + '/e', {
    method: 'POST', mode: 'no-cors', keepalive: true,
    body: JSON.stringify({
      k: KEY,
      event: 'sale',
      order_id: /(^|\\/)0?$/.test(order) ? undefined : order,
      checkout_token: checkout.token,
      amount: amount(checkout.totalPrice),
      currency: checkout.currencyCode,
      tax: amount(checkout.totalTax),
      shipping: amount(checkout.shippingLine && checkout.shippingLine.price),
      code: codes.join(','),
      click_id: (attribute && attribute.value) || (await kept('ariane_click')) || script.click_id,
      visitor_id: script.visitor_id
    })
  });
});
"""


def pixel(connection: Connection) -> str:
    """The custom pixel. The texts put in are an address, a key and a parameter's name: none can hold a quotation mark."""
    filled = {"<base_url>": connection.base_url, "<key>": connection.key, "<param>": connection.click_param}
    code = PIXEL
    for place, value in filled.items():
        code = code.replace(place, value)
    return code


def guide(connection: Connection) -> Guide:
    """Webhooks first: they alone are enough for codes. The rest brings the click along."""
    return Guide(
        page="docs/connect/shopify.md",
        steps=(
            GuideStep(
                "Create the webhooks",
                "In Shopify: Settings → Notifications → Webhooks → Create webhook. Format JSON, the newest version, once for each of these "
                f"events: {', '.join(EVENTS)}.",
                GuidePaste("URL", connection.url),
            ),
            GuideStep(
                "Give Ariane the signing secret",
                "It stands at the foot of that page (“Your webhooks will be signed with …”). Webhooks of an app of your own are signed with the "
                "app's client secret instead. If you have not sent it yet, or it has changed, send it now; while you rotate, send both.",
                GuidePaste(f"PATCH /v1/sources/{connection.source_id}", '{"secrets": ["the signing secret"]}'),
            ),
            *key_step(connection),
            GuideStep(
                "Put the script and the cart's attribute into the theme",
                "Online Store → Themes → … → Edit code → layout/theme.liquid, before </head>: the snippet “theme”. Every order then names the "
                "click that brought it, also when the browser reports nothing.",
            ),
            GuideStep(
                "Add the custom pixel",
                "Settings → Customer events → Add custom pixel, name it Ariane, choose the permission Marketing (Shopify then runs it only after "
                "consent) and “Data collected does not qualify as data sale” unless you know better; paste the snippet “custom pixel”, save, connect.",
            ),
            GuideStep(
                "Create the discount codes",
                "Discounts → Create discount, with the same codes that GET /v1/codes lists. Upper and lower case do not matter.",
            ),
            trial_step(connection),
        ),
        snippets=(
            GuideSnippet("theme", "html", "layout/theme.liquid, before </head>", script(connection) + CART),
            GuideSnippet("custom pixel", "js", "Settings → Customer events → Add custom pixel", pixel(connection)),
        ),
    )
