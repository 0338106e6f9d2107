// Writes, as JSON lines, requests that the providers' own packages signed: {source, id, type, headers, body (base64)}.
// usage: node send.mjs SECRETS.json   (run in the folder that holds node_modules)
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.cwd() + "/");
const secrets = JSON.parse(readFileSync(process.argv[2], "utf8"));
const out = (source, id, type, headers, body) =>
  process.stdout.write(JSON.stringify({ source, id, type, headers, body: Buffer.from(body).toString("base64") }) + "\n");

async function github() {
  const { Webhooks } = await import(require.resolve("@octokit/webhooks"));
  const examples = require("@octokit/webhooks-examples");
  const hooks = new Webhooks({ secret: secrets.github });
  let n = 0;
  for (const event of examples.default ?? examples)
    for (const payload of event.examples) {
      const body = JSON.stringify(payload);
      const id = "00000000-0000-4000-8000-" + String(n++).padStart(12, "0");
      out("github", id, event.name, {
        "X-GitHub-Event": event.name, "X-GitHub-Delivery": id, "User-Agent": "GitHub-Hookshot/044aadd",
        "Content-Type": "application/json", "X-Hub-Signature-256": await hooks.sign(body),
      }, body);
    }
}

function stripe() {
  const Stripe = require("stripe");
  const client = new Stripe("sk_test_none", { apiVersion: secrets.stripe_version });
  const now = Math.floor(Date.now() / 1000);
  const kinds = [["customer", "customer.created"], ["customer", "customer.updated"], ["invoice", "invoice.paid"],
    ["subscription", "customer.subscription.deleted"], ["charge", "charge.succeeded"], ["payment_intent", "payment_intent.created"],
    ["product", "product.created"], ["price", "price.created"], ["customer", "customer.deleted"]];
  for (let i = 0; i < 90; i++) {
    const [object, type] = kinds[i % kinds.length];
    const body = JSON.stringify({
      id: "evt_real_" + i, object: "event", api_version: secrets.stripe_version, created: now - 100 + i, livemode: false,
      type, data: { object: { id: object + "_" + Math.floor(i / kinds.length), object, created: now - 1000, name: "Zoë " + i, amount: i } },
    }, null, i % 2 ? 2 : 0);
    const signature = client.webhooks.generateTestHeaderString({ payload: body, secret: secrets.stripe });
    out("stripe", "evt_real_" + i, type, { "Stripe-Signature": signature, "Content-Type": "application/json" }, body);
  }
}

function standard() {
  const { Webhook } = require("standardwebhooks");
  const hook = new Webhook(secrets.standard);
  for (let i = 0; i < 30; i++) {
    const id = "msg_std_" + i, at = new Date(), body = JSON.stringify({ type: "thing.happened", timestamp: at.toISOString(), data: { id: "t" + i, text: "héllo " + i } });
    out("standard", id, "thing.happened", {
      "webhook-id": id, "webhook-timestamp": String(Math.floor(at.getTime() / 1000)), "webhook-signature": hook.sign(id, at, body),
      "Content-Type": "application/json",
    }, body);
  }
}

function svix() {
  const { Webhook } = require("svix");
  const hook = new Webhook(secrets.svix);
  for (let i = 0; i < 30; i++) {
    const id = "msg_svix_" + i, at = new Date(), body = JSON.stringify({ type: "user.created", data: { id: "u" + i } });
    out("svix", id, "user.created", {
      "svix-id": id, "svix-timestamp": String(Math.floor(at.getTime() / 1000)), "svix-signature": hook.sign(id, at, body),
      "Content-Type": "application/json",
    }, body);
  }
}

await github();
stripe();
standard();
svix();
