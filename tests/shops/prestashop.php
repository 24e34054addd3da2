<?php
/**
 * As little of PrestaShop as the module on docs/connect/prestashop.md touches: an order is placed, paid at once, and partly given back.
 * Called with the module's file; curl writes what it would have sent, one JSON document a line.
 */
define('_PS_VERSION_', '8.2.0');
define('_DB_PREFIX_', 'ps_');
date_default_timezone_set('Europe/Paris');

foreach (['CURLOPT_POST', 'CURLOPT_POSTFIELDS', 'CURLOPT_RETURNTRANSFER', 'CURLOPT_CONNECTTIMEOUT', 'CURLOPT_TIMEOUT', 'CURLOPT_HTTPHEADER',
    'CURLINFO_HTTP_CODE'] as $number => $name) {
    defined($name) || define($name, $number);
}
function curl_init($url)
{
    return (object) ['url' => $url];
}
function curl_setopt_array($request, $options)
{
    $request->options = $options;
}
function curl_exec($request)
{
    echo json_encode([
        'url' => $request->url,
        'body' => $request->options[CURLOPT_POSTFIELDS],
        'headers' => $request->options[CURLOPT_HTTPHEADER],
    ]), "\n";
}
function curl_getinfo($request, $what)
{
    return 200;
}

class Module
{
    public $name, $tab, $version, $author, $displayName, $description;

    public function __construct()
    {
    }

    public function install()
    {
        return true;
    }

    public function registerHook($names)
    {
        foreach ($names as $name) {
            if (!method_exists($this, "hook$name")) {
                throw new Exception("no method for $name");
            }
        }
        return true;
    }
}

class PrestaShopLogger
{
    public static function addLog($text, $level)
    {
        echo json_encode(['log' => $text, 'level' => $level]), "\n";
    }
}

class Configuration
{
    public static function get($name)
    {
        return ['PS_SHOP_DEFAULT' => '1', 'PS_OS_CANCELED' => '6', 'PS_OS_ERROR' => '8', 'PS_OS_REFUND' => '7'][$name];
    }
}

class Shop
{
    public function __construct($id)
    {
        if ($id !== 1) {
            throw new Exception("no shop $id");
        }
    }

    public function getBaseURL()
    {
        return 'http://boutique.example/ps/';
    }
}

class Currency
{
    public $iso_code = 'EUR';

    public function __construct($id)
    {
        if ($id !== 1) {
            throw new Exception("no currency $id");
        }
    }
}

class Customer
{
    public $email = 'bob@example.com';

    public function __construct($id)
    {
    }
}

class Order
{
    const PAYMENT_ACCEPTED = '2';

    public $id, $reference = 'XKBKNABJK', $secure_key = 'b44a6d9efd7a0076a0fbce6b15eaf3b1', $date_add = '2026-11-21 19:00:00', $id_currency = 1, $id_customer = 7, $total_products = '100.000000',
        $total_discounts_tax_excl = 14.9, $total_shipping_tax_excl = 4.9, $total_paid_tax_incl = 108.0, $total_paid_tax_excl = 90.0,
        $valid, $current_state;
    private static $states = [];

    public function __construct($id = null)
    {
        $this->id = $id;
        $this->current_state = self::$states[$id] ?? null;
        $this->valid = $this->current_state === self::PAYMENT_ACCEPTED ? '1' : null;
    }

    public static function setState($id, $state)
    {
        self::$states[$id] = $state;
    }
}

class Db
{
    const INSERT_IGNORE = 2;
    private static $clicks = [];

    public static function getInstance()
    {
        return new Db();
    }

    public function execute($sql)
    {
        return true;
    }

    public function insert($table, $row, $null_values, $use_cache, $type)
    {
        self::$clicks += $type === self::INSERT_IGNORE ? [$row['id_order'] => $row['click']] : [];
        return true;
    }

    public function getValue($sql)
    {
        return self::$clicks[(int) substr($sql, strrpos($sql, '=') + 1)] ?? false;
    }

    public function executeS($sql)
    {
        if (strpos($sql, 'order_cart_rule')) {
            return [['code' => 'LEA10', 'value_tax_excl' => '14.900000', 'free_shipping' => '1']];
        }
        if (strpos($sql, 'order_slip')) {
            return $GLOBALS['slips'];
        }
        return [['id_order_detail' => '77', 'product_reference' => 'S', 'product_name' => "S\u{e9}rum", 'product_quantity' => '2',
            'total_price_tax_excl' => '100']];
    }
}

$_COOKIE['ariane_click'] = 'clk_01kaz8h0000000000000000000';
include $argv[1];
$slips = [];
$module = new Ariane();
$module->install();

// As PaymentModule::validateOrder does, within one second: first the hook, then the status.
$placed = new Order(42);
$module->hookActionValidateOrder(['order' => $placed]);
Order::setState(42, Order::PAYMENT_ACCEPTED);
$module->hookActionOrderStatusPostUpdate(['id_order' => 42]);
$slips = [['id_order_slip' => '3', 'total_products_tax_excl' => '25.000000', 'date_add' => '2026-11-23 10:00:00', 'date_upd' => '2026-11-23 10:00:00']];
$module->hookActionOrderSlipAdd(['order' => new Order(42)]);

echo json_encode(['page' => $module->hookDisplayOrderConfirmation(['order' => $placed])]), "\n";

// What cannot be told must not reach the shopper.
$broken = new Order(43);
$broken->id_currency = 9;
$module->hookActionValidateOrder(['order' => $broken]);
