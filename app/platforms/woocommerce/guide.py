"""WooCommerce: four webhooks with one secret, and a few lines that keep the click until the order."""

from app.platforms.kit.guide import Connection, Guide, GuidePaste, GuideSnippet, GuideStep, trial_step

TOPICS = ("Order created", "Order updated", "Order deleted", "Order restored")

KEEP_CLICK = """add_action('template_redirect', function () {
    $click = isset($_GET['<param>']) ? sanitize_text_field(wp_unslash($_GET['<param>'])) : '';
    if ($click !== '' && !headers_sent()) {
        setcookie('ariane_click', $click, ['expires' => time() + 30 * DAY_IN_SECONDS, 'path' => '/',
            'secure' => is_ssl(), 'httponly' => true, 'samesite' => 'Lax']);
    }
});
function ariane_click_of_order($order) {
    if (!empty($_COOKIE['ariane_click'])) {
        $order->update_meta_data('_ariane', sanitize_text_field(wp_unslash($_COOKIE['ariane_click'])));
    }
}
add_action('woocommerce_checkout_create_order', 'ariane_click_of_order');
add_action('woocommerce_store_api_checkout_update_order_from_request', 'ariane_click_of_order');
"""


def guide(connection: Connection) -> Guide:
    """The webhooks alone are enough for codes."""
    return Guide(
        page="docs/connect/woocommerce.md",
        steps=(
            GuideStep(
                "Create the webhooks",
                "In WordPress: WooCommerce → Settings → Advanced → Webhooks → Add webhook, once for each of these topics: "
                f"{', '.join(TOPICS)}. Status Active, API version WP REST API Integration v3, and in all four the secret that this source was "
                "given. On saving, WooCommerce asks whether somebody is there; “Webhook updated successfully” means that it was answered.",
                GuidePaste("Delivery URL", connection.url),
            ),
            GuideStep(
                "Keep the click until the order",
                "Either leave WooCommerce → Settings → Advanced → Features → Order Attribution on, which remembers the click for one visit; or "
                "put the snippet into functions.php of your child theme, which remembers it for 30 days (a cookie your consent banner has to know).",
            ),
            GuideStep(
                "Create the coupons",
                "Marketing → Coupons → Add coupon, with the codes that GET /v1/codes lists. Upper and lower case do not matter.",
            ),
            trial_step(connection),
        ),
        snippets=(
            GuideSnippet(
                "click until the order",
                "php",
                "functions.php of the child theme",
                KEEP_CLICK.replace("<param>", connection.click_param),
            ),
        ),
    )
