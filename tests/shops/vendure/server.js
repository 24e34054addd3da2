// A Vendure shop with the plugin of docs/connect/vendure.md. The database, the port and where the plugin reports to come from the environment.
const { readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const typescript = require('typescript');
const { DefaultLogger, JobQueueService, LogLevel, bootstrap, dummyPaymentHandler } = require('@vendure/core');

const { DATABASE_HOST, DATABASE_NAME, SHOP_PORT, ARIANE_PLUGIN, ARIANE_URL, ARIANE_SECRET } = process.env;

const compiled = typescript.transpileModule(readFileSync(ARIANE_PLUGIN, 'utf8'), {
  compilerOptions: { module: 'commonjs', target: 'es2022', experimentalDecorators: true, emitDecoratorMetadata: true, useDefineForClassFields: false },
});
const plugin = join(__dirname, 'ariane.plugin.js');
writeFileSync(plugin, compiled.outputText);
const { ArianePlugin } = require(plugin);

const config = {
  apiOptions: { port: Number(SHOP_PORT), adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: { tokenMethod: ['bearer'], superadminCredentials: { identifier: 'admin', password: 'admin' }, cookieOptions: { secret: 'of the test' } },
  dbConnectionOptions: { type: 'postgres', host: DATABASE_HOST, username: 'ariane', database: DATABASE_NAME, synchronize: true },
  logger: new DefaultLogger({ level: LogLevel.Warn }),
  paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
  plugins: [ArianePlugin.init({ url: ARIANE_URL, secret: ARIANE_SECRET })],
};

bootstrap(config).then(async app => {
  await app.get(JobQueueService).start();
  console.log('ready');
}).catch(error => {
  console.error(error);
  process.exit(1);
});
