// The main thing to do on each page, done as a person does it, and what the gateway made of it.
//
// SLUICE: the program.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { launch, Tab, VIEWS } from "./browser.mjs";
import { ADMIN, Gateway, POOR, USER } from "./gateway.mjs";
import { work } from "./traffic.mjs";

let gateway;
let browser;
let known;

before(async () => {
  gateway = await Gateway.start(process.env.SLUICE);
  known = await work(gateway);
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

/// A test with a tab of somebody; nothing may go wrong in it but what it says beforehand.
function acts(name, run, login = ADMIN) {
  test(name, async () => {
    const tab = await Tab.open(browser, gateway, login, VIEWS.light);
    try {
      await run(tab.page, tab);
      assert.deepEqual(tab.wrong, []);
    } finally {
      await tab.close();
    }
  });
}

acts("logs: a filter is in the address and narrows the list; Enter opens a request", async (page, tab) => {
  await tab.visit("/logs?tab=requests");
  await page.getByRole("combobox", { name: "Status" }).selectOption("4xx");
  await page.waitForURL(/status=4xx/);
  await tab.settled();
  const rows = page.getByRole("table", { name: "Requests" }).locator("tbody tr");
  await page.waitForFunction(() => document.querySelectorAll("table[aria-label=Requests] tbody tr").length === 3);
  await rows.first().focus();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/ui\/requests\//);
  await tab.settled();
});

acts("logs: a call appears while one watches", async (page, tab) => {
  await tab.visit("/logs?tab=live");
  // The stream is open once it has told the past.
  await page.waitForFunction(() => performance.getEntriesByType("resource").some((entry) => entry.name.includes("/api/live")) || document.readyState === "complete");
  const rows = page.getByRole("table", { name: "Live requests" }).locator("tbody tr");
  const end = Date.now() + 20_000;
  for (;;) {
    await gateway.call(USER, "/v1/chat/completions", { model: "gpt-5-mini", messages: [{ role: "user", content: "Now?" }] });
    if ((await rows.count()) > 0) break;
    assert.ok(Date.now() < end, "no row came");
    await page.waitForTimeout(200);
  }
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("button", { name: "Resume" }).waitFor();
});

acts("request: what was said, side by side, raw, and as curl", async (page, tab) => {
  await tab.visit(`/requests/${known.coding.id}`);
  await page.getByRole("tab", { name: "Conversation" }).click();
  await page.getByText("Then add a test for it.").first().waitFor();
  await page.getByText("git diff --stat HEAD~1").first().waitFor();
  await page.getByRole("tab", { name: "Raw" }).click();
  await page.getByText('"max_tokens"').first().waitFor();
  await page.getByRole("button", { name: "Copy as curl" }).click();
  await page.getByText("The command is in the clipboard").waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(command, /^curl /);
  assert.ok(command.includes("/v1/messages") && !/authorization|x-api-key/i.test(command), command.slice(0, 300));
});

acts("somebody else's request does not exist", async (page, tab) => {
  tab.expected = /404/;
  await page.goto(`${gateway.url}/ui/requests/${known.coding.id}`);
  await page.getByText("There is no such request here").waitFor();
}, "dave@example.com");

acts("budgets: refill with confirmation", async (page, tab) => {
  await tab.visit("/quotas");
  await page.getByRole("button", { name: `trial:${POOR}` }).click();
  await page.getByRole("button", { name: "Refill", exact: true }).click();
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("button", { name: "Yes, refill" }).click();
  await page.getByText(/added$/).first().waitFor();
  const { refills } = await gateway.get("/api/quotas/refills");
  assert.equal(refills[0].author, ADMIN);
  // A shard that has just heard that nothing is left asks again after a second at most.
  const end = Date.now() + 20_000;
  let status;
  do {
    const again = { model: "gpt-5-mini", messages: [{ role: "user", content: "And now?" }] };
    ({ status } = await gateway.call(POOR, "/v1/chat/completions", again));
  } while (status === 429 && Date.now() < end);
  assert.equal(status, 200);
});

acts("settings: edit as fields, review, save, and roll back", async (page, tab) => {
  const before = await gateway.get("/aperture/config");
  await tab.visit("/settings?section=model_aliases");
  await page.getByRole("textbox", { name: "New name in model_aliases" }).fill("fast");
  await page.getByRole("button", { name: "Add to model_aliases" }).click();
  const alias = page.getByRole("textbox", { name: "model_aliases.fast", exact: true });
  await alias.fill("openai/gpt-5-mini");
  await alias.press("Enter");
  await page.getByText("Valid, not saved yet").waitFor();
  await page.getByRole("button", { name: "Review and save" }).click();
  await page.getByRole("button", { name: "Save and use" }).click();
  await page.getByText("The configuration is in use", { exact: true }).waitFor();
  await page.getByText("In use", { exact: true }).waitFor();
  const after = await gateway.get("/aperture/config");
  assert.ok(after.config.includes('"fast": "openai/gpt-5-mini"'));
  assert.ok(after.config.includes("// Two people and a machine"), "comments stay");
  await tab.visit("/settings?tab=history");
  await page.getByRole("list", { name: "Versions" }).getByRole("button").nth(1).click();
  await page.getByRole("button", { name: "Use this version again" }).click();
  await page.getByRole("button", { name: "Use this version", exact: true }).click();
  await page.getByText(/is in use again/).waitFor();
  assert.equal((await gateway.get("/aperture/config")).config, before.config);
});

acts("settings: the document says what is wrong while it is written", async (page, tab) => {
  await tab.visit("/settings?tab=document");
  const editor = page.getByRole("textbox", { name: "Configuration document" });
  await editor.click();
  await page.keyboard.press("Control+Home");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.insertText('"provders": {},');
  await page.getByText(/to mend first/).waitFor();
  await page.getByText(/provders/).first().waitFor();
  await page.getByRole("button", { name: "Discard changes" }).click();
  await page.getByText("In use", { exact: true }).waitFor();
});

acts("tokens: made, shown once, used, revoked", async (page, tab) => {
  await tab.visit("/tokens");
  await page.getByRole("button", { name: "New token" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Nightly build");
  await page.getByLabel("Whose").fill("tag:ci");
  await page.getByRole("button", { name: "Create token" }).click();
  await page.getByText("Copy it now").waitFor();
  const secret = (await page.getByText(/^slt_\S+$/).first().textContent()).trim();
  const use = () => fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${secret}` } });
  assert.equal((await use()).status, 200);
  await page.getByRole("button", { name: "Done" }).click();
  assert.equal(await page.getByText(secret).count(), 0);
  await page.getByRole("button", { name: "Revoke Nightly build" }).click();
  await page.getByRole("button", { name: "Revoke", exact: true }).click();
  await page.getByText(/ends now/).waitFor();
  assert.ok((await use()).status >= 401);
});

acts("connect: a model is tried and its call can be looked at", async (page, tab) => {
  await tab.visit("/connect?client=openai-python");
  await page.getByRole("button", { name: "Test this model" }).click();
  await page.getByText("It works").waitFor();
  await page.getByRole("link", { name: "Look at this request" }).click();
  await page.waitForURL(/\/ui\/requests\//);
}, USER);

acts("audit: what was done stands there, and the chain holds", async (page, tab) => {
  await tab.visit("/audit");
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByText(/acts are as they were written/).waitFor();
  const row = page.getByRole("table", { name: "Audit" }).getByText("token.create").first();
  await row.click();
  await page.getByRole("dialog").getByText("Nightly build").first().waitFor();
});

acts("guardrails: what a rule in shadow mode would have changed", async (page, tab) => {
  await tab.visit("/guardrails");
  await page.getByRole("button", { name: "addresses" }).click();
  await page.waitForURL(/rule=addresses/);
  await page.getByRole("button", { name: "What changes" }).first().click();
  await page.getByRole("dialog").getByText("addresses").first().waitFor();
  assert.equal(await page.getByText("bob.builder@example.org").count(), 0);
});

acts("models: one whose name has slashes is opened, and what it links to", async (page, tab) => {
  const model = "vendor/family/model-1";
  await gateway.call(USER, "/v1/chat/completions", { model, messages: [{ role: "user", content: "Which one?" }] });
  await gateway.eventually(`/api/requests?model=${model}`, (answer) => answer.requests.length === 1);
  await tab.visit("/models");
  await page.getByRole("link", { name: model, exact: true }).click();
  await page.waitForURL(new RegExp(`/ui/models/${model}$`));
  await page.reload();
  await tab.settled();
  await page.getByRole("heading", { name: model }).waitFor();
  await page.getByRole("heading", { name: "Served by" }).waitFor();
});

acts("budgets: a link opens a bucket that is far down the list", async (page, tab) => {
  const { quotas } = await gateway.get("/api/quotas?limit=1000");
  const bucket = quotas.find(({ quota }) => quota === "trial:<user>");
  // As if it were far down: what is searched for is on the page alone.
  await tab.visit(`/quotas?id=${bucket.id}&q=nobody-is-called-this`);
  await page.getByRole("button", { name: "Refill" }).waitFor();
});

acts("people: who may use which model, and by which grant", async (page, tab) => {
  await tab.visit("/people");
  await page.getByLabel("Search people").fill("erin");
  await page.waitForURL(/q=erin/);
  await page.getByRole("link", { name: "erin@example.com" }).click();
  await page.waitForURL(/\/ui\/people\//);
  await page.getByLabel("May they use this model?").fill("claude-opus-4-5");
  await page.getByRole("button", { name: "Ask" }).click();
  await page.getByText(/^Yes:/).waitFor();
});

acts("a table is exported as it is shown", async (page, tab) => {
  await tab.visit("/people");
  const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "Export" }).first().click()]);
  const text = await readFile(await file.path(), "utf8");
  assert.ok(text.startsWith("Login,") && text.includes(USER), text.slice(0, 200));
});

acts("the palette leads anywhere", async (page, tab) => {
  await tab.visit("/");
  await page.keyboard.press("Control+k");
  // It is loaded when it is first asked for; nobody waits with typing until it is there.
  await page.keyboard.type("provid");
  await page.getByRole("option", { name: "Providers" }).waitFor();
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/ui\/providers/);
});

for (const path of ["/settings", "/audit", "/adoption"]) {
  acts(`${path} says kindly that it is for administrators`, async (page, tab) => {
    tab.expected = /403/;
    await page.goto(`${gateway.url}/ui${path}`);
    await page.getByText(/for admin/i).first().waitFor();
  }, USER);
}
