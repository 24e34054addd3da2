// The interactive reference: Swagger UI over /openapi.json, everything from this service.
//
// The examples of the document tell one story, in which each request names what an earlier answer held: POST /v1/sources answers an id, GET
// /v1/sources/{id} asks for it. Here the answers are the reader's own. So where an example of an answer has one id and the service answered another,
// later requests say the other in place of the example's: every "Try it out" works as it stands. What somebody types is never touched.
'use strict';
(function () {
  // Kept in the tab alone (sessionStorage): they survive a reload, and end with the tab.
  var KEY = 'ariane.docs.key', ANSWERED = 'ariane.docs.answered';
  var NAME = /^[a-z]{2,5}_[\w-]{6,}$/;  // of an id, a token or a key
  var NOT_HERE = {
    follow_link: 'it leads away from here; open a link in a browser',
    probe_link: 'it leads away from here; open a link in a browser',
    receive_postback: 'it is for the address of a postback source; `POST /v1/sources/{id}/test` sends one'
  };

  function stored(name) {
    try { return JSON.parse(sessionStorage.getItem(name)); } catch (unreadable) { return null; }
  }
  function store(name, value) {
    try { sessionStorage.setItem(name, JSON.stringify(value)); } catch (forbidden) { /* it lasts until the next reload then */ }
  }

  // ── The document, as this page shows it ────────────────────────────────────────────────────────────────────────────

  var operations = [];  // {method, path: RegExp, operation}
  var secret = '';      // of the example's source

  // Lighter than it is served, or each unfolding takes seconds: Swagger UI reads the whole of a 3.1 document anew each time, of a 3.0 one only what it
  // shows; and every error is the same problem, which the head of the page describes.
  function prepare(document_) {
    document_.openapi = '3.0.4';
    Object.keys(document_.paths).forEach(function (path) {
      Object.keys(document_.paths[path]).forEach(function (method) {
        var operation = document_.paths[path][method], why = NOT_HERE[operation.operationId];
        var pattern = path.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{\w+\}/g, '[^/]+');
        operations.push({ method: method, path: new RegExp('^' + pattern + '$'), operation: operation });
        if (operation.operationId === 'create_source') secret = exampleOf(operation).secrets[0];
        if (why) operation.description = (operation.description || '') + '\n\nNot to be tried here: ' + why + '.';
        Object.keys(operation.responses).forEach(function (status) {
          if (status >= '4') operation.responses[status] = {description: operation.responses[status].description};
        });
        // Prefilled, the second press of a button would be a replay of the first.
        (operation.parameters || []).forEach(function (each) { if (each.name === 'Idempotency-Key') delete each.example; });
      });
    });
    return JSON.parse(JSON.stringify(document_), function (name, value) {
      if (name !== 'description' || typeof value !== 'string') return value;
      return value.replace(/(^|[\s(])docs\/([\w\/-]+)\.md/g, '$1[docs/$2.md](/docs/guides/$2)');
    });
  }
  function exampleOf(operation) {
    return operation.requestBody.content['application/json'].example;
  }
  function operationOf(method, url) {
    var path = new URL(url, location.href).pathname, fits = operations.filter(function (each) {
      return each.method === method.toLowerCase() && each.path.test(path);
    });
    // /v1/deliveries/replay also fits /v1/deliveries/{id}: the pattern without a place for anything wins.
    fits.sort(function (one, other) { return one.path.source.split('[^/]+').length - other.path.source.split('[^/]+').length; });
    return fits[0] && fits[0].operation;
  }

  // ── Examples and what was answered in their place ──────────────────────────────────────────────────────────────────

  var answered = stored(ANSWERED) || {};

  function note(example, value, sure) {
    if (typeof example === 'string' && typeof value === 'string') {
      if (NAME.test(example) && (sure || !(example in answered))) answered[example] = value;
    } else if (Array.isArray(example) && Array.isArray(value)) {
      var left = value.slice();
      example.forEach(function (row) {
        var at = left.findIndex(function (each) {
          return !row || !each || (row.kind === each.kind && row.platform === each.platform);
        });
        if (at >= 0) note(row, left.splice(at, 1)[0], false);
      });
    } else if (example && value && typeof example === 'object' && typeof value === 'object') {
      Object.keys(example).forEach(function (name) { note(example[name], value[name], sure); });
    }
  }
  function filled(text) {
    return Object.keys(answered).reduce(function (said, example) { return said.split(example).join(answered[example]); }, text);
  }
  var asked = {};  // operations by the addresses that were asked last

  function before(request) {
    if (request.loadSpec) return request;
    request.url = filled(request.url);
    if (typeof request.body === 'string') request.body = filled(request.body);
    var operation = asked[new URL(request.url, location.href).href] = operationOf(request.method, request.url);
    return operation && operation.operationId === 'receive_webhook' ? signed(request) : request;
  }
  // As the shop of the example would sign its message: with the secret that the example of POST /v1/sources gives it.
  function signed(request) {
    var bytes = new TextEncoder(), hash = { name: 'HMAC', hash: 'SHA-256' };
    if (!window.crypto || !crypto.subtle) return request;  // not over plain http, but for this machine itself
    return crypto.subtle.importKey('raw', bytes.encode(secret), hash, false, ['sign']).then(function (key) {
      return crypto.subtle.sign('HMAC', key, bytes.encode(request.body));
    }).then(function (signature) {
      request.headers['X-Signature'] = 'sha256=' + Array.from(new Uint8Array(signature), function (byte) {
        return (256 + byte).toString(16).slice(1);
      }).join('');
      return request;
    });
  }
  function after(response) {
    var operation = asked[response.url], known = operation && operation.responses[response.status];
    var content = known && known.content && known.content['application/json'];
    if (content && content.example && response.text) {
      note(content.example, JSON.parse(response.text), response.status === 201 || response.status === 202);
      store(ANSWERED, answered);
    }
    return response;
  }

  // ── The page ───────────────────────────────────────────────────────────────────────────────────────────────────────

  function manners() {
    return {
      // It would show the version under which the document is handed over here.
      wrapComponents: { OpenAPIVersion: function () { return function () { return null; }; } },
      statePlugins: {
        spec: {
          wrapActions: {
            // Swagger UI reads JSON as YAML, which takes seconds for a document of this size.
            parseToJson: function (original, system) {
              return function (text) { return system.specActions.updateJsonSpec(JSON.parse(text)); };
            }
          },
          wrapSelectors: {
            allowTryItOutFor: function (original, system) {
              return function (state, path, method) {
                var operation = system.specSelectors.specJson().getIn(['paths', path, method, 'operationId']);
                return !NOT_HERE[operation];
              };
            }
          }
        },
        auth: {
          wrapActions: {
            authorize: function (original) {
              return function (given) {
                // Another key may be of another brand, which has nothing of what was answered.
                if (JSON.stringify(given) !== JSON.stringify(stored(KEY))) store(ANSWERED, answered = {});
                store(KEY, given);
                return original(given);
              };
            },
            logout: function (original) {
              return function (names) { sessionStorage.removeItem(KEY); return original(names); };
            }
          }
        }
      }
    };
  }

  fetch('/openapi.json').then(function (answer) { return answer.json(); }).then(function (document_) {
    window.ui = SwaggerUIBundle({
      spec: prepare(document_), dom_id: '#swagger-ui', deepLinking: true, docExpansion: 'none', defaultModelsExpandDepth: -1,
      validatorUrl: null, requestInterceptor: before, responseInterceptor: after, plugins: [manners],
      onComplete: function () {
        var key = stored(KEY);
        if (key) window.ui.authActions.authorize(key);
      }
    });
  });
})();
