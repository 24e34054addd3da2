// A Medusa shop with the subscriber of docs/connect/medusa.md: modules in memory, no Redis, no administration pages.
const { defineConfig } = require('@medusajs/framework/utils');

module.exports = defineConfig({
  admin: { disable: true },
  projectConfig: {
    databaseUrl: process.env.DATABASE_URL,
    http: { storeCors: '*', adminCors: '*', authCors: '*', jwtSecret: 'of the test', cookieSecret: 'of the test' },
  },
});
