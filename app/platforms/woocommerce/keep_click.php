add_action('template_redirect', function () {
    $click = isset($_GET['{{param}}']) ? sanitize_text_field(wp_unslash($_GET['{{param}}'])) : '';
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
