// The interactive reference: Swagger UI over /openapi.json, everything from this service.
'use strict';
window.ui = SwaggerUIBundle({
  url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, docExpansion: 'none', persistAuthorization: false,
});
