/* Ariane: says which link or code brought an order. How a shop installs it: docs/pixel.md.
 *
 * Served without comments and indentation, else as it stands: ES5 for the old web views inside social apps. Runs in a page, in a sandboxed frame
 * (storage throws, no cookie, no referrer) and in a worker (no document, no sendBeacon). It sends what the shop hands over and two random ids,
 * never the page's address, and only by requests that need no preflight: in `pagehide` a preflight is all that would arrive. */
(function (w) {
  'use strict';
  if (w.ariane && w.ariane.loaded) return;
  var KEPT_SECONDS = 365 * 86400, PERSONAL = /click|visitor|customer|mail/i;
  var doc = w.document, nav = w.navigator, queue = (w.ariane && w.ariane.q) || [], tag = doc && doc.currentScript;
  var key, host, domain, param = 'ariane', consent = 'wait', click, visitor;
  var landed;                  // this page's address named the click, which is not stored and sent yet
  var leaving = !doc;          // nothing may be put off any more; a worker is never told, so it never may
  var sales = [], asked = [];  // tracked and not yet sent with the ids; callbacks that want the click id

  // What the shop would otherwise look for in vain: in the console, once each; nothing is held back and nothing is translated.
  var told = {}, CALL = "ariane('track', 'sale', {order_id: '1001', amount: '49.90', currency: 'EUR'})";
  var MEANT = { transaction_id: 'order_id', value: 'amount', coupon: 'code', purchase: 'sale', generate_lead: 'lead', sign_up: 'signup' };
  var UNFILLED = /\{\{.*\}\}|\[\[.*\]\]|%%.+%%|[$#]\{.*\}|<[%?]|\{%|\[object |^\s*(undefined|null|NaN|\{\w+\}|\[[a-z_]+\]|%\w+%)\s*$/i;
  function say(text) {
    if (told[text]) return;
    told[text] = 1;
    attempt(function () { w.console.warn('Ariane: ' + text); });
  }
  function checkKey() {
    if (/^sk_/.test(key)) say('the key is a secret key, which anybody can now read: revoke it, and put the publishable key (pk_…) here.');
    else if (!/^pk_[\w-]{20,}$/.test(key)) say("'" + key + "' is no key: put the publishable key of the shop (pk_…) here.");
  }
  function checkCall(event, fields) {
    var name, value, named = fields && (fields.order_id || fields.checkout_token || fields.order_key || fields.session_id);
    if (MEANT[event]) say("'" + event + "' is '" + MEANT[event] + "' here: " + CALL.replace('sale', MEANT[event]));
    for (name in fields) {
      value = fields[name];
      if (MEANT[name]) say("'" + name + "' is '" + MEANT[name] + "' here: " + CALL);
      if (value === value + '' && UNFILLED.test(value) || value !== value) say(name + " is '" + value + "': a placeholder that nobody filled in.");
    }
    if (event === 'sale' && !named) say("a sale has no order_id, so it cannot be told from another: " + CALL);
  }

  function attempt(act) {
    try { return act(); } catch (absent) { /* forbidden here, or too old: the next best way follows */ }
  }

  // localStorage, else a cookie; both with data-domain, because only a cookie is shared by sub-domains.
  function cookie(text, seconds) {
    doc.cookie = 'ariane=' + encodeURIComponent(text) + '; path=/; SameSite=Lax; max-age=' + seconds +
      (domain ? '; domain=' + domain : '') + (w.location.protocol === 'https:' ? '; Secure' : '');
  }
  function stored() {
    var newest = { at: Date.now() - KEPT_SECONDS * 1000 };
    function look(place) {
      var found = attempt(function () { return JSON.parse(place()); });
      if (found && found.at > newest.at) newest = found;
    }
    look(function () { return w.localStorage.getItem('ariane'); });
    look(function () { return decodeURIComponent(/(?:^|; )ariane=([^;]*)/.exec(doc.cookie)[1]); });
    return newest;
  }
  function store() {
    var text = JSON.stringify({ click_id: click, visitor_id: visitor, at: Date.now() });
    var local = attempt(function () { w.localStorage.setItem('ariane', text); return true; });
    if (!local || domain) attempt(function () { cookie(text, KEPT_SECONDS); });
    return stored().click_id === click;
  }
  function recall() {
    var kept = stored();
    click = click || kept.click_id;
    visitor = visitor || kept.visitor_id;
  }
  function erase() {
    attempt(function () { w.localStorage.removeItem('ariane'); });
    attempt(function () { cookie('', 0); });
  }
  function random() {
    var bytes = attempt(function () { return w.crypto.getRandomValues(new Uint8Array(16)); }), text = '', i;
    for (i = 0; i < 16; i++) text += (256 + (bytes ? bytes[i] : Math.random() * 256 | 0)).toString(16).slice(1);
    return text;
  }

  function send(event, fields, named) {
    var body = { k: key, event: event }, name;
    for (name in fields) if (named || !PERSONAL.test(name)) body[name] = fields[name];
    if (named) {
      body.click_id = body.click_id || click;
      body.visitor_id = body.visitor_id || visitor;
    }
    post(body, JSON.stringify(body));
  }
  // A string travels as text/plain, which needs no preflight; JSON would.
  function post(body, text) {
    function image() {
      var query = '', name, value;
      for (name in body) {
        value = body[name];
        if (value == null) continue;
        query += (query ? '&' : '?') + name + '=' + encodeURIComponent(typeof value === 'object' ? JSON.stringify(value) : value);
      }
      attempt(function () { new w.Image().src = host + '/p.gif' + query; });
    }
    if (attempt(function () { return nav.sendBeacon(host + '/e', text); })) return;
    attempt(function () {
      return w.fetch(host + '/e', { method: 'POST', body: text, mode: 'no-cors', keepalive: true, credentials: 'omit' }).then(null, image);
    }) || image();
  }

  // Does what key and consent allow by now.
  function settle() {
    var sale, i;
    if (!key) return;
    if (consent === 'granted') {
      if (landed) {
        landed = false;
        visitor = visitor || random();
        if (store()) send('land', {}, true); else visitor = undefined;
      }
      while ((sale = sales.shift())) send(sale.event, sale.fields, true);
      while (click && asked.length) asked.shift()(click);
    } else if (consent === 'denied' || leaving) {
      // Sent without the ids, and kept: sent once more with them after a late yes, it is still one order.
      for (i = 0; i < sales.length; i++) {
        if (!sales[i].sent) send(sales[i].event, sales[i].fields, false);
        sales[i].sent = true;
      }
    }
  }
  function answer(word, withdrawn) {
    if (!/^(granted|denied|wait)$/.test(word)) return;
    consent = nav.globalPrivacyControl ? 'denied' : word;
    if (consent === 'wait' && stored().click_id) consent = 'granted';  // only after a yes is anything stored
    if (consent === 'granted') recall();
    if (consent === 'denied' && (withdrawn || consent !== word)) {
      recall();  // into this page's memory alone, for a yes after all
      erase();
      landed = !!click;
    }
  }

  var commands = {
    init: function (options) {
      var found;
      key = options.key || key;
      if (key) checkKey();
      host = options.host || host;
      domain = options.domain || domain;
      param = options.param || param;
      found = new RegExp('[?&]' + param.replace(/\W/g, '\\$&') + '=([\\w-]{8,64})(&|$)').exec(w.location.search);
      if (found && found[1] !== click) { click = found[1]; landed = true; }
      answer(options.consent || consent);
    },
    // ('granted' | 'denied'), or as Google's consent mode says it: ('default' | 'update', {ad_storage: …}).
    consent: function (word, storage) {
      answer((storage || word || {}).ad_storage || word, word !== 'default');
    },
    track: function (event, fields) {
      checkCall(event, fields);
      sales.push({ event: event, fields: fields });
    },
    click_id: function (callback) {
      if (callback) asked.push(callback);
      return consent === 'granted' ? click : undefined;
    }
  };
  function run(call) {
    if (commands[call[0]]) return commands[call[0]](call[1], call[2]);
    say("ariane('" + call[0] + "', …) is no call. A sale is told by " + CALL);
  }
  function ariane() {
    var result = run(arguments);
    settle();
    return result;
  }
  function leave() { leaving = true; settle(); }
  function attribute(name) { return tag.getAttribute('data-' + name); }

  ariane.loaded = true;
  w.ariane = ariane;
  if (tag) run(['init', {
    key: attribute('key'), consent: attribute('consent'), param: attribute('param'), domain: attribute('domain'),
    host: attribute('host') || tag.src.replace(/\/[^\/]*$/, '')
  }]);
  for (var i = 0; i < queue.length; i++) run(queue[i]);
  settle();
  if (w.setTimeout) w.setTimeout(function () {
    if (!key && sales.length) say("nothing is sent yet: the script has no data-key, and ariane('init', {key: 'pk_…'}) was not called.");
  }, 1000);
  if (doc) {
    w.addEventListener('pagehide', leave);
    doc.addEventListener('visibilitychange', function () { if (doc.visibilityState === 'hidden') leave(); });
  }
})(typeof window === 'undefined' ? self : window);
