import { createHmac } from 'node:crypto';
import type { SubscriberArgs, SubscriberConfig } from '@medusajs/framework';
import { ContainerRegistrationKeys, Modules } from '@medusajs/framework/utils';

/** Reports every order to Ariane, whole, whenever something about it changes: the newest report makes good whichever got lost. */
export const config: SubscriberConfig = {
  event: [
    'order.placed', 'order.updated', 'order.canceled', 'order-edit.confirmed', 'order.return_received', 'order.claim_created', 'order.exchange_created',
    'payment.captured', 'payment.refunded',
  ],
  context: { subscriberId: 'ariane' },
};

/** When a report is tried again, in seconds. */
const PAUSES = [1, 5, 30, 120, 600, 3600];
const FIELDS = [
  'id', 'display_id', 'status', 'created_at', 'currency_code', 'email', 'customer_id', 'metadata', 'promotions.code',
  'total', 'tax_total', 'item_total', 'item_tax_total', 'shipping_total', 'shipping_tax_total', 'items.*',
  'payment_collections.payments.captures.amount', 'payment_collections.payments.refunds.*',
];

interface Sold { net: number; gross: number; tax: number; shipping: number; paid: boolean; cut: boolean }

export default async function report({ event, container }: SubscriberArgs<{ id: string; order_id?: string }>) {
  for (const pause of [...PAUSES, 0]) {
    try {
      const message = await describe(event.name, event.data, container);
      if (message) await post(message);
      return;
    } catch (error) {
      container.resolve(ContainerRegistrationKeys.LOGGER).warn(`Ariane: ${event.name}: ${error}`);
      await new Promise(done => setTimeout(done, pause * 1000));
    }
  }
}

async function describe(name: string, data: { id: string; order_id?: string }, container: SubscriberArgs['container']) {
  // Before the order is read: a report never claims to be newer than what it holds.
  const sentAt = new Date().toISOString();
  const query = container.resolve(ContainerRegistrationKeys.QUERY);
  let id = data.order_id ?? data.id;
  if (name.startsWith('payment.')) {
    const { data: [payment] } = await query.graph({ entity: 'payment', fields: ['payment_collection.order.id'], filters: { id } });
    id = (payment as any)?.payment_collection?.order?.id;
  }
  const { data: [order] } = (await query.graph({ entity: 'order', fields: FIELDS, filters: { id } })) as { data: any[] };
  if (!order) return undefined;

  const { maximumFractionDigits: digits = 2 } = new Intl.NumberFormat('en', { style: 'currency', currency: order.currency_code }).resolvedOptions();
  // Medusa keeps long fractions; what is charged is whole cents.
  const cents = (amount: unknown) => Math.round(Number((Number(amount ?? 0) * 10 ** digits).toFixed(6)));
  const text = (amount: number) => (amount / 10 ** digits).toFixed(digits);

  const payments = (order.payment_collections ?? []).flatMap((each: any) => each.payments ?? []);
  const now = {
    net: cents(order.item_total) - cents(order.item_tax_total),
    gross: cents(order.item_total),
    total: cents(order.item_total) + cents(order.shipping_total),
    tax: cents(order.tax_total),
    shipping: cents(order.shipping_total) - cents(order.shipping_tax_total),
    captured: sum(payments.flatMap((each: any) => each.captures ?? []).map((each: any) => cents(each.amount))),
    cancelled: order.status === 'canceled',
  };
  const refunds = payments.flatMap((each: any) => each.refunds ?? [])
    .sort((one: any, other: any) => (one.id < other.id ? -1 : 1)).map((each: any) => ({ id: each.id, gross: cents(each.amount) }));
  const before: Sold | undefined = order.metadata?.ariane_sold;
  const sold = soldAs(now, before);
  if (JSON.stringify(sold) !== JSON.stringify(before)) {
    await container.resolve(Modules.ORDER).updateOrders(order.id, { metadata: { ...order.metadata, ariane_sold: sold } });
  }
  return {
    event: name,
    sent_at: sentAt,
    order: {
      id: order.id, display_id: order.display_id, placed_at: new Date(order.created_at).toISOString(), currency: order.currency_code.toUpperCase(),
      net: text(sold.net), tax: text(sold.tax), shipping: text(sold.shipping), paid: sold.paid, cancelled: now.cancelled || null,
    },
    promotions: (order.promotions ?? []).map((each: any) => ({ code: each?.code })),
    lines: order.items.filter((each: any) => each.quantity > 0).map((each: any) => ({
      id: each.id, sku: each.variant_sku, quantity: Number(each.quantity), net: text(cents(each.total) - cents(each.tax_total)),
    })),
    refunds: takenBack(now, sold, refunds).map(each => ({ ...each, net: text(each.net), updated_at: sentAt })),
    customer: { id: order.customer_id, email: order.email },
    ariane: order.metadata?.ariane || null,
    test: process.env.ARIANE_TEST === 'true',
  };
}

interface Now { net: number; gross: number; total: number; tax: number; shipping: number; captured: number; cancelled: boolean }

/** What was sold: what the order held when it held most. An edit or a return lowers Medusa's totals, and a sale is not unmade by that. */
function soldAs(now: Now, before?: Sold): Sold {
  const paid = before?.paid || (now.captured >= now.total && (now.captured > 0 || !now.cancelled));
  const cut = before?.cut || (before !== undefined && !now.cancelled && now.net < before.net);
  if (before && now.net <= before.net) return { ...before, paid, cut };
  return { net: now.net, gross: now.gross, tax: now.tax, shipping: now.shipping, paid, cut };
}

/**
 * What was taken back of the goods, before tax. `cut` is what the order held once and no longer holds. Refunds pay for that first, and take only what they
 * pay beyond it: of the goods first, at their tax, then of the shipping.
 */
function takenBack(now: Now, sold: Sold, refunds: Array<{ id: string; gross: number }>) {
  const taken: Array<{ id: string; net: number }> = [];
  if (sold.cut && !now.cancelled) taken.push({ id: 'cut', net: sold.net - now.net });
  let owed = now.cancelled ? now.captured : Math.max(0, Math.min(sold.gross - now.gross, now.captured - now.total));
  let paidBack = 0;
  const part = (back: number) => (now.gross > 0 ? Math.round((Math.min(back, now.gross) * now.net) / now.gross) : 0);
  for (const refund of refunds) {
    const beyond = Math.max(0, refund.gross - owed);
    owed -= refund.gross - beyond;
    taken.push({ id: refund.id, net: part(paidBack + beyond) - part(paidBack) });
    paidBack += beyond;
  }
  return taken;
}

function sum(numbers: number[]) {
  return numbers.reduce((total, each) => total + each, 0);
}

async function post(message: object) {
  const { ARIANE_URL = '', ARIANE_SECRET = '' } = process.env;
  const body = JSON.stringify(message);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', ARIANE_SECRET).update(`${timestamp}.${body}`).digest('hex');
  const answer = await fetch(ARIANE_URL, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Ariane-Timestamp': timestamp, 'X-Ariane-Signature': `sha256=${signature}` },
    body,
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) throw new Error(`answered ${answer.status}: ${await answer.text()}`);
}
