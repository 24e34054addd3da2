<?php
/**
 * As little of WordPress and WooCommerce as the snippets on docs/connect/woocommerce.md touch: a visit, a checkout, and an order's webhook, which is
 * built, signed and sent as WC_Webhook does it. Called with the secret, the order's file, the refund's file and the snippets' files.
 */
const DAY_IN_SECONDS = 86400, ADMINISTRATOR = 1, WEBHOOK = 7;

$hooks = [];
$user = 0;
[, $secret, $order_file, $refund_file] = $argv;

function add_action($name, $callback, $priority = 10, $accepted = 1)
{
    $GLOBALS['hooks'][$name][] = [$callback, $accepted];
}
function add_filter($name, $callback, $priority = 10, $accepted = 1)
{
    add_action($name, $callback, $priority, $accepted);
}
function apply_filters($name, $value, ...$others)
{
    foreach ($GLOBALS['hooks'][$name] ?? [] as [$callback, $accepted]) {
        $value = $callback(...array_slice([$value, ...$others], 0, $accepted));
    }
    return $value;
}
function do_action($name, ...$arguments)
{
    foreach ($GLOBALS['hooks'][$name] ?? [] as [$callback, $accepted]) {
        $callback(...array_slice($arguments, 0, $accepted));
    }
}
function setcookie($name, $value, $options)
{
    $GLOBALS['cookies'][$name] = ['value' => $value] + $options;
}
function sanitize_text_field($text)
{
    return trim(strip_tags($text));
}
function wp_unslash($text)
{
    return stripslashes($text);
}
function is_ssl()
{
    return true;
}
function get_current_user_id()
{
    return $GLOBALS['user'];
}
function wp_set_current_user($id)
{
    $GLOBALS['user'] = $id;
}
function wc_get_webhook($id)
{
    return $id === WEBHOOK ? new WC_Webhook() : null;
}
function rest_do_request($request)
{
    return new WP_REST_Response($request->path, $GLOBALS['user'] === ADMINISTRATOR);
}

class WP_REST_Request
{
    public $path;

    public function __construct($method, $path)
    {
        $this->path = $path;
    }
}

/** An answer of the shop's own REST API; to others than the administrator it is an error. */
class WP_REST_Response
{
    private $path, $may;

    public function __construct($path, $may)
    {
        $this->path = $path;
        $this->may = $may;
    }

    public function is_error()
    {
        return !$this->may || !preg_match('~^/wc/v3/orders/(\d+)(/refunds/(\d+))?$~', $this->path);
    }

    public function get_data()
    {
        if ($this->is_error()) {
            return ['code' => 'woocommerce_rest_cannot_view', 'message' => 'Sorry, you cannot view this resource.', 'data' => ['status' => 401]];
        }
        $file = strpos($this->path, '/refunds/') ? $GLOBALS['refund_file'] : $GLOBALS['order_file'];
        return json_decode(file_get_contents($file), true);
    }
}

function wc_get_order($id)
{
    return $id === (new WC_Order())->get_id() ? new WC_Order() : false;
}
function wc_format_decimal($number, $decimals)
{
    return $decimals === '' ? number_format((float) $number, 2, '.', '') : $number;
}
function wp_json_encode($value, $flags)
{
    return json_encode($value, $flags);
}

class WC_Order
{
    public $meta = [];

    public function get_id()
    {
        return json_decode(file_get_contents($GLOBALS['order_file']))->id;
    }
    public function get_order_key()
    {
        return json_decode(file_get_contents($GLOBALS['order_file']))->order_key;
    }
    public function get_total()
    {
        return '29.35';
    }
    public function get_total_tax()
    {
        return '1.3500';
    }
    public function get_shipping_total()
    {
        return '10';
    }
    public function get_currency()
    {
        return 'EUR';
    }
    public function get_coupon_codes()
    {
        return ['lea10', '</script>'];
    }

    public function update_meta_data($key, $value)
    {
        $this->meta[$key] = $value;
    }
}

class WC_Webhook
{
    public function get_user_id()
    {
        return ADMINISTRATOR;
    }

    public function build_payload($id)
    {
        $before = get_current_user_id();
        wp_set_current_user($this->get_user_id());
        $payload = rest_do_request(new WP_REST_Request('GET', "/wc/v3/orders/$id"))->get_data();
        wp_set_current_user($before);
        return apply_filters('woocommerce_webhook_payload', $payload, 'order', $id, WEBHOOK);
    }

    public function deliver($id)
    {
        $body = trim(json_encode($this->build_payload($id)));
        $signature = base64_encode(hash_hmac('sha256', $body, htmlspecialchars_decode($GLOBALS['secret'], ENT_QUOTES), true));
        return ['body' => $body, 'headers' => ['X-WC-Webhook-Topic' => 'order.updated', 'X-WC-Webhook-Signature' => $signature]];
    }
}

foreach (array_slice($argv, 4) as $snippet) {
    include $snippet;
}

// WordPress puts slashes into what comes from outside.
$_GET['ariane'] = addslashes("clk_01kaz8h0000000000000000000 <b>");
do_action('template_redirect');
$_COOKIE['ariane_click'] = addslashes($cookies['ariane_click']['value']);
$classic = new WC_Order();
do_action('woocommerce_checkout_create_order', $classic, []);
$block = new WC_Order();
do_action('woocommerce_store_api_checkout_update_order_from_request', $block, null);

ob_start();
do_action('wp_head');
do_action('woocommerce_thankyou', (new WC_Order())->get_id());
do_action('woocommerce_thankyou', 0);
$page = ob_get_clean();

$sent = (new WC_Webhook())->deliver(json_decode(file_get_contents($order_file))->id);
echo json_encode(['cookie' => $cookies['ariane_click'], 'orders' => [$classic->meta, $block->meta], 'sent' => $sent, 'user' => $user, 'page' => $page]), "\n";
