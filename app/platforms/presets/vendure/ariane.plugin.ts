import { createHmac } from 'node:crypto';
import { OnApplicationBootstrap } from '@nestjs/common';
import {
  ConfigService, EventBus, ID, JobQueue, JobQueueService, Order, OrderEvent, OrderLine, OrderLineEvent, OrderPlacedEvent, OrderStateTransitionEvent,
  PaymentStateTransitionEvent, PluginCommonModule, Refund, RefundStateTransitionEvent, TransactionalConnection, VendurePlugin,
} from '@vendure/core';
import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What was sold of an order. A table of its own: Vendure writes whole orders back, and with them what stood in their fields before. */
@Entity()
export class ArianeSold {
  @PrimaryColumn('varchar') orderId!: string;
  @Column('text') sold!: string;
}

interface Sold { net: number; gross: number; tax: number; shipping: number; paid: boolean; cut: boolean }

/** Reports every order to Ariane, whole, whenever something about it changes: the newest report makes good whichever got lost. */
@VendurePlugin({
  compatibility: '^3.0.0',
  imports: [PluginCommonModule],
  entities: [ArianeSold],
  configuration: config => {
    config.customFields.Order.push({ name: 'arianeClick', type: 'string', length: 64, nullable: true });
    return config;
  },
})
export class ArianePlugin implements OnApplicationBootstrap {
  static options: { url: string; secret: string; test?: boolean };
  private queue!: JobQueue<{ orderId: ID; event: string }>;

  constructor(private events: EventBus, private jobs: JobQueueService, private connection: TransactionalConnection, private config: ConfigService) {}

  static init(options: { url: string; secret: string; test?: boolean }) {
    ArianePlugin.options = options;
    return ArianePlugin;
  }

  async onApplicationBootstrap() {
    this.queue = await this.jobs.createQueue({ name: 'ariane', process: job => this.report(job.data.orderId, job.data.event) });
    // An order is lost neither to a restart nor to an answer that does not come: the queue tries again.
    const changed = (event: string) => ({ order }: { order: Order }) => { void this.queue.add({ orderId: order.id, event }, { retries: 50 }); };
    // What was sold is noted at once: the queue may come to an order only after some of it was cancelled.
    this.events.ofType(OrderPlacedEvent).subscribe(event => { void this.remember(event.order).then(() => changed('placed')(event)); });
    this.events.ofType(OrderStateTransitionEvent).subscribe(changed('state'));
    this.events.ofType(OrderEvent).subscribe(changed('edited'));
    this.events.ofType(OrderLineEvent).subscribe(event => event.type === 'cancelled' && changed('cancelled')(event));
    this.events.ofType(PaymentStateTransitionEvent).subscribe(changed('payment'));
    this.events.ofType(RefundStateTransitionEvent).subscribe(changed('refund'));
  }

  private async report(orderId: ID, event: string) {
    // Before the order is read: a report never claims to be newer than what it holds.
    const sentAt = new Date().toISOString();
    const orders = this.connection.rawConnection.getRepository(Order);
    const order = await orders.findOne({
      where: { id: orderId },
      relations: { lines: { productVariant: true }, surcharges: true, payments: { refunds: { lines: true } }, customer: true },
    });
    // No carts; of an order that is split over sellers, the whole.
    if (!order?.orderPlacedAt || order.type === 'Seller') return;
    const own = order.customFields as unknown as { arianeClick?: string };
    const sold = await this.remember(order);
    await this.post({
      event,
      sent_at: sentAt,
      order: {
        code: order.code,
        placed_at: order.orderPlacedAt.toISOString(),
        currency: order.currencyCode,
        net: this.amount(sold.net, order),
        tax: this.amount(sold.tax, order),
        shipping: this.amount(sold.shipping, order),
        paid: sold.paid,
        cancelled: order.state === 'Cancelled' || null,
      },
      coupon_codes: order.couponCodes,
      lines: order.lines.filter(line => line.quantity > 0).map(line => ({
        id: String(line.id), sku: line.productVariant.sku, quantity: line.quantity, net: this.amount(line.proratedLinePrice, order),
      })),
      refunds: takenBack(order, sold).map(each => ({ ...each, net: this.amount(each.net, order), updated_at: sentAt })),
      customer: order.customer && { id: String(order.customer.id), email: order.customer.emailAddress },
      ariane: own.arianeClick || null,
      test: ArianePlugin.options.test ?? false,
    });
  }

  private async remember(order: Order): Promise<Sold> {
    const memory = this.connection.rawConnection.getRepository(ArianeSold);
    const before = await memory.findOneBy({ orderId: String(order.id) });
    const sold = soldAs(order, before ? JSON.parse(before.sold) : undefined);
    await memory.save({ orderId: String(order.id), sold: JSON.stringify(sold) });
    return sold;
  }

  private async post(message: object) {
    const { url, secret } = ArianePlugin.options;
    const body = JSON.stringify(message);
    const timestamp = String(Math.floor(Date.now() / 1000));
    const signature = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex');
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-Ariane-Timestamp': timestamp, 'X-Ariane-Signature': `sha256=${signature}` },
      body,
      signal: AbortSignal.timeout(10_000),
    });
    // Thrown, so that the queue tries again.
    if (!answer.ok) throw new Error(`Ariane answered ${answer.status}: ${await answer.text()}`);
  }

  /** Vendure stores every currency in hundredths, yen as well, unless its MoneyStrategy says otherwise. */
  private amount(stored: number, order: Order) {
    const { maximumFractionDigits } = new Intl.NumberFormat('en', { style: 'currency', currency: order.currencyCode }).resolvedOptions();
    const precision = this.config.entityOptions.moneyStrategy.precision ?? 2;
    return (stored / 10 ** precision).toFixed(maximumFractionDigits);
  }
}

/** What was sold: what the order held when it held most. Vendure lowers its totals when lines are cancelled, and a sale is not unmade by that. */
function soldAs(order: Order, before?: Sold): Sold {
  const settled = sum((order.payments ?? []).filter(each => each.state === 'Settled').map(each => each.amount));
  const paid = before?.paid || (settled >= order.totalWithTax && (settled > 0 || order.state !== 'Cancelled'));
  const cut = before !== undefined && order.state !== 'Cancelled' && order.subTotal < before.net;
  if (before && order.subTotal <= before.net) return { ...before, paid, cut: before.cut || cut };
  const { subTotal: net, subTotalWithTax: gross, shipping } = order;
  return { net, gross, tax: order.totalWithTax - order.total, shipping, paid, cut: before?.cut ?? false };
}

/**
 * What was taken back of the goods, before tax. `cut` is what the order held once and no longer holds. Refunds pay for that first, and take only what they
 * pay beyond it, at the tax of the lines they name, else at that of the goods. A refund of shipping takes no goods.
 */
function takenBack(order: Order, sold: Sold) {
  const taken: Array<{ id: string; net: number }> = [];
  const settled = sum(order.payments.filter(each => each.state === 'Settled').map(each => each.amount));
  const cancelled = order.state === 'Cancelled';
  if (sold.cut && !cancelled) taken.push({ id: 'cut', net: sold.net - order.subTotal });
  let owed = cancelled ? settled : Math.max(0, Math.min(sold.gross - order.subTotalWithTax, settled - order.totalWithTax));
  const paidBack: Record<string, number> = {};
  const refunds = order.payments.flatMap(each => each.refunds).filter(each => each.state === 'Settled');
  for (const refund of refunds.sort((one, other) => Number(one.id) - Number(other.id))) {
    const ofGoods = refund.total - Math.min(refund.shipping, refund.total);
    const beyond = Math.max(0, ofGoods - owed);
    owed -= ofGoods - beyond;
    const named = linesOf(refund, order.lines);
    const key = named.map(each => each.id).join();
    const gross = named.length ? sum(named.map(each => each.proratedLinePriceWithTax)) : order.subTotalWithTax;
    const net = named.length ? sum(named.map(each => each.proratedLinePrice)) : order.subTotal;
    const part = (back: number) => (gross > 0 ? Math.round((Math.min(back, gross) * net) / gross) : 0);
    const before = paidBack[key] ?? 0;
    paidBack[key] = before + beyond;
    taken.push({ id: String(refund.id), net: part(before + beyond) - part(before) });
  }
  return taken;
}

function linesOf(refund: Refund, lines: OrderLine[]) {
  return lines.filter(line => line.quantity > 0 && refund.lines.some(each => each.orderLineId === line.id));
}

function sum(numbers: number[]) {
  return numbers.reduce((total, each) => total + each, 0);
}
