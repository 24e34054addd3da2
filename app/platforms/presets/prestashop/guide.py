"""PrestaShop: a module of one file that posts its orders, and a snippet that keeps the click."""

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideSnippet, GuideStep, key_step, script, trial_step

KEEP_CLICK = """<script>
ariane('click_id', function (id) { if (id) document.cookie = 'ariane_click=' + encodeURIComponent(id) + ';path=/;max-age=2592000;samesite=lax'; });
</script>
"""


def guide(connection: Connection) -> Guide:
    """The module alone is enough for codes. The snippet brings the click along."""
    return Guide(
        page="docs/connect/prestashop.md",
        steps=(
            GuideStep(
                "Install the module",
                "PrestaShop has no webhooks; the module of one file on docs/connect/prestashop.md sends its orders. Put this address and the secret of "
                "this source where it says so, zip the folder, and upload it in Modules → Module Manager → Upload a module.",
                GuidePaste("const URL", f"'{connection.url}'"),
            ),
            *key_step(connection),
            GuideStep(
                "Keep the click until the order",
                "Put the snippet into the theme's <head>. Codes need nothing: they are the cart rules of the order.",
            ),
            GuideStep("Create the codes", "Catalog → Discounts → Cart rules, with the codes that GET /v1/codes lists."),
            trial_step(connection),
        ),
        snippets=(GuideSnippet("theme", "html", "before </head> in the theme", script(connection) + KEEP_CLICK),),
    )
