// Names, prompts, headers and tools full of markup, control and bidi characters, and a megabyte of them: nothing of it
// runs, nothing breaks the layout, and it can be read.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, Tab, VIEWS } from "./browser.mjs";
import { ADMIN, Gateway } from "./gateway.mjs";
import { payloads } from "./hostile.mjs";
import { pages } from "./pages.mjs";

/// What can stand in a header.
const plain = (text) => /^[\x20-\x7e]*$/.test(text) && text.length <= 200;
/// People whose very names are markup.
const people = payloads.filter(plain).slice(0, 12);

let gateway;
let browser;
let ids;

before(async () => {
  const grant = { src: people, capabilities: [{ role: "user", models: "**" }] };
  gateway = await Gateway.start(process.env.SLUICE, { grants: `${JSON.stringify(grant)},` });
  let calls = 0;
  const chat = async (login, model, text, headers = {}, more = {}) => {
    calls += 1;
    return gateway.call(login, "/v1/chat/completions", { model, messages: [{ role: "user", content: text }], ...more }, headers);
  };
  for (const [index, text] of payloads.entries()) {
    const login = people[index % people.length];
    const headers = plain(text) ? { "user-agent": text, "x-session-id": text.slice(0, 120), "x-app": text } : {};
    await chat(login, text.slice(0, 200), text, headers, { system: text });
    const tool = { type: "function", function: { name: text.slice(0, 60), description: text, parameters: { type: "object" } } };
    await chat(login, "gpt-5.5", `MOCK_TOOL${JSON.stringify({ name: text.slice(0, 60), input: { [text]: text } })}`, headers, { tools: [tool] });
  }
  const megabyte = payloads.join(" ").repeat(300).slice(0, 1_000_000);
  const big = await chat(people[0], "gpt-5.5", megabyte);
  for (const text of people) {
    await fetch(`${gateway.url}/api/tokens`, {
      method: "POST",
      headers: { ...gateway.headers(ADMIN), "content-type": "application/json" },
      body: JSON.stringify({ name: text, login: text, expires_in_s: 3_600 }),
    });
  }
  const { requests } = await gateway.eventually("/api/requests?limit=1000", (answer) => answer.requests.length >= calls);
  // What was refused before anybody read its body leaves a record and no capture.
  const written = requests.filter((request) => request.capture === "written").length;
  await gateway.eventually("/api/captures?limit=1000", (answer) => answer.captures.length >= written);
  const { sessions } = await gateway.get("/api/sessions?limit=1000");
  ids = { session: sessions[0].id, request: big.id, requests: requests.map((request) => request.request_id) };
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

async function open(view) {
  const tab = await Tab.open(browser, gateway, ADMIN, view);
  // A browser reports each refusal; what is asked for here does not always exist.
  tab.expected = /status of 4\d\d/;
  return tab;
}

/// What a page does with what it is given.
async function unharmed(tab, path) {
  await tab.visit(path);
  // Folded parts are opened: what is in them must not run either.
  for (const summary of await tab.page.locator("main details:not([open]) > summary").all()) await summary.click();
  await tab.settled();
  assert.equal(await tab.page.evaluate(() => globalThis.__ran), undefined, "something ran");
  assert.deepEqual(tab.wrong, []);
  assert.ok((await tab.overflow()) <= 0, `wider than the window by ${await tab.overflow()} px`);
  assert.equal(new URL(tab.page.url()).origin, gateway.url);
  assert.ok(await tab.page.locator("main").isVisible());
}

async function look(path, view) {
  const tab = await open(view);
  try {
    await unharmed(tab, path);
  } finally {
    await tab.close();
  }
}

/// What the gateway takes in no path, as others may read it as something else: `%`, `\`, `;`, control characters.
const refused = (path) => /%(25|3b|5c|7f|[01][0-9a-f])/i.test(path);

for (const name of Object.keys(pages({ session: "", request: "" }))) {
  for (const view of ["light", "narrow"]) {
    test(`${name}, ${view}`, async () => look(pages(ids)[name], VIEWS[view]));
  }
}

test("everybody's own page, from the list and from its address", async () => {
  const tab = await open(VIEWS.light);
  try {
    await tab.visit("/people");
    const links = await tab.page.locator('main a[href*="/people/"]').all();
    const addresses = await Promise.all(links.map((link) => link.getAttribute("href")));
    assert.ok(addresses.length >= people.length, `${addresses.length} of ${people.length} people are listed`);
    await links[0].click();
    await tab.page.waitForURL(/\/people\/./);
    tab.expected = undefined;
    for (const address of addresses) {
      await unharmed(tab, address.replace(/^\/ui/, ""));
      await tab.page.getByRole("heading", { name: "Where from" }).waitFor();
      assert.equal(await tab.page.getByRole("alert").count(), 0, address);
    }
  } finally {
    await tab.close();
  }
});

test("every request", async () => {
  for (const id of ids.requests.filter((_, index) => index % 3 === 0).slice(0, 24)) await look(`/requests/${id}`, VIEWS.light);
});

test("hostile texts in the address", async () => {
  const tab = await open(VIEWS.narrow);
  try {
    for (const text of payloads) {
      const word = encodeURIComponent(text.slice(0, 300));
      await unharmed(tab, `/logs?tab=requests&user=${word}&model=${word}&tab=${word}`);
      await unharmed(tab, `/logs?tab=${word}&range=${word}&sort=${word}&min_ms=${word}`);
      assert.equal(await tab.page.getByRole("tab", { name: "Sessions" }).getAttribute("aria-selected"), "true");
      await unharmed(tab, `/people/~${Buffer.from(text.slice(0, 100)).toString("base64url")}`);
      const person = `/people/${encodeURIComponent(text.slice(0, 100).replaceAll("/", ""))}`;
      if (!refused(person)) {
        await unharmed(tab, person);
        continue;
      }
      const answer = await tab.page.goto(`${gateway.url}/ui${person}`);
      assert.equal(answer.status(), 400);
      assert.match(answer.headers()["content-type"], /^application\/json/);
      assert.equal(await tab.page.evaluate(() => globalThis.__ran), undefined, "something ran");
    }
  } finally {
    await tab.close();
  }
});
