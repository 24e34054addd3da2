add_action('wp_head', function () { ?>
{{script}}
<?php });
add_action('woocommerce_thankyou', function ($id) {
    $order = wc_get_order($id);
    if ($order) {
        $fields = [
            'order_id' => (string) $order->get_id(),
            'order_key' => $order->get_order_key(),
            'amount' => wc_format_decimal($order->get_total(), ''),
            'tax' => wc_format_decimal($order->get_total_tax(), ''),
            'shipping' => wc_format_decimal($order->get_shipping_total(), ''),
            'currency' => $order->get_currency(),
            'code' => html_entity_decode(implode(',', $order->get_coupon_codes()), ENT_QUOTES),
        ];
        echo "<script>ariane('track', 'sale', " . wp_json_encode($fields, JSON_HEX_TAG | JSON_HEX_AMP) . ");</script>\n";
    }
});
