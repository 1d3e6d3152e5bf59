// Pictures of every page, light, dark and narrow, of an organisation that was made up, and of a working day after it.
//
// SLUICE: the program. SEED: the example `seed` of the control plane. PICTURES: the folder that they are put into.

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { launch, Tab, VIEWS } from "./browser.mjs";
import { ADMIN, Gateway } from "./gateway.mjs";
import { pages } from "./pages.mjs";
import { work } from "./traffic.mjs";

const SEEDED = ["--requests", "300000", "--users", "400", "--days", "30", "--captures", "2000"];

/// The document of the made-up store, with providers that answer and people that are known.
async function documentOf(data) {
  const text = await readFile(join(data, "sluice.hujson"), "utf8");
  const identity = `"sources": ["serve_headers", "token"] }, "listeners": [{ "address": "127.0.0.1:0", "serve_headers": true }]`;
  return (mock) =>
    text
      .split(/(?=^ {4}"\w+": \{)/m)
      .map((part) => part.replaceAll("http://127.0.0.1:9", /"(openai_chat|ollama)"/.test(part) ? `${mock}/v1` : mock))
      .join("")
      .replace(`"captures": { "share": "10%" },`, "")
      .replace(`"sources": ["loopback"] }`, identity)
      .replace(`"(loopback)"`, `"${ADMIN}"`);
}

const folder = await mkdtemp(join(tmpdir(), "sluice-pictures-"));
let gateway;
let browser;
try {
  const data = join(folder, "data");
  await promisify(execFile)(process.env.SEED, ["--data", data, ...SEEDED]);
  gateway = await Gateway.start(process.env.SLUICE, { data, document: await documentOf(data) });
  const known = await work(gateway);
  const { sessions } = await gateway.get("/api/sessions?client=claude-code&limit=200");
  const longest = sessions.reduce((most, session) => (session.requests > most.requests ? session : most));
  const all = pages({ session: longest.id, request: known.coding.id, person: longest.user });
  browser = await launch();
  await mkdir(process.env.PICTURES, { recursive: true });
  for (const [view, options] of Object.entries(VIEWS)) {
    const tab = await Tab.open(browser, gateway, ADMIN, options);
    for (const [name, path] of Object.entries(all)) {
      await tab.visit(path);
      await tab.page.screenshot({ path: join(process.env.PICTURES, `${name}-${view}.png`) });
      await tab.page.screenshot({ path: join(process.env.PICTURES, `${name}-${view}.jpg`), type: "jpeg", quality: 78 });
    }
    await tab.close();
  }
} finally {
  await browser?.close();
  await gateway?.stop();
  await rm(folder, { recursive: true, force: true });
}
