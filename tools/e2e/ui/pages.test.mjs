// Every page, light, dark and narrow: it loads, axe finds nothing serious, the console is silent, nothing is too wide.
//
// SLUICE: the program.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { launch, Tab, VIEWS } from "./browser.mjs";
import { ADMIN, Gateway, USER } from "./gateway.mjs";
import { own, pages } from "./pages.mjs";
import { work } from "./traffic.mjs";

let gateway;
let browser;
let ids;

before(async () => {
  gateway = await Gateway.start(process.env.SLUICE);
  const known = await work(gateway);
  const sessions = await gateway.get(`/api/sessions?user=${encodeURIComponent(USER)}&limit=1000`);
  const session = sessions.sessions.find((session) => session.key?.startsWith("7c0f3a52"));
  ids = { session: session.id, request: known.coding.id };
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await gateway?.stop();
});

const names = Object.keys(pages({ session: "", request: "" }));
for (const [view, options] of Object.entries(VIEWS)) {
  for (const name of names) {
    test(`${name}, ${view}`, async () => look(name, options, ADMIN));
  }
}
for (const name of own) {
  test(`${name}, for somebody who is no administrator`, async () => look(name, VIEWS.light, USER));
}

async function look(name, options, login) {
  const tab = await Tab.open(browser, gateway, login, options);
  try {
    await tab.visit(pages(ids)[name]);
    assert.deepEqual(tab.wrong, []);
    assert.equal(await tab.page.getByText("Something went wrong").count(), 0);
    assert.ok((await tab.overflow()) <= 0, `wider than the window by ${await tab.overflow()} px`);
    const { serious } = await tab.axe();
    assert.deepEqual(serious, []);
  } finally {
    await tab.close();
  }
}
