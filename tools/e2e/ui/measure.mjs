// What the dashboard costs: until something is painted, bytes of the first load, and what a page that watches live
// takes of the gateway. Prints; fails on nothing.
//
//   SLUICE=target/release/sluice node tools/e2e/ui/measure.mjs

import { readdir, readFile } from "node:fs/promises";

import { launch, Tab, VIEWS } from "./browser.mjs";
import { ADMIN, Gateway } from "./gateway.mjs";
import { pages } from "./pages.mjs";
import { work } from "./traffic.mjs";

const ROUNDS = 5;
const WATCH_S = 30;
const TICKS_PER_S = 100;

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/// CPU of a process and everything that it started, in seconds.
async function cpu(root) {
  const stats = new Map();
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const text = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => null);
    if (text === null) continue;
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    stats.set(Number(entry), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) });
  }
  const below = (id) => id === root || (stats.has(id) && id > 1 && below(stats.get(id).parent));
  return [...stats].filter(([id]) => below(id)).reduce((sum, [, { ticks }]) => sum + ticks, 0) / TICKS_PER_S;
}

const gateway = await Gateway.start(process.env.SLUICE);
const browser = await launch();
try {
  const known = await work(gateway);
  const { sessions } = await gateway.get("/api/sessions?limit=10");
  const all = pages({ session: sessions[0].id, request: known.coding.id });
  console.log("page                first paint   settled   script+style+html, compressed");
  for (const [name, path] of Object.entries(all)) {
    const paints = [];
    const settled = [];
    let bytes = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const tab = await Tab.open(browser, gateway, ADMIN, VIEWS.light);
      const begun = performance.now();
      await tab.visit(path);
      settled.push(performance.now() - begun);
      const seen = await tab.page.evaluate(() => ({
        paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? Number.NaN,
        bytes: [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
          .filter((entry) => /\/ui\//.test(entry.name))
          .reduce((sum, entry) => sum + entry.encodedBodySize, 0),
      }));
      paints.push(seen.paint);
      bytes = seen.bytes;
      await tab.close();
    }
    const row = [name.padEnd(18), `${median(paints).toFixed(0)} ms`.padStart(12), `${median(settled).toFixed(0)} ms`.padStart(9)];
    console.log(...row, `${(bytes / 1024).toFixed(0)} KiB`.padStart(10));
  }

  const watched = async (path) => {
    const tab = path === null ? null : await Tab.open(browser, gateway, ADMIN, VIEWS.light);
    await tab?.visit(path);
    const before = await cpu(gateway.program.process.pid);
    await new Promise((resolve) => setTimeout(resolve, WATCH_S * 1_000));
    const took = (await cpu(gateway.program.process.pid)) - before;
    await tab?.close();
    return (took / WATCH_S) * 100;
  };
  console.log(`\nCPU of the gateway, idle otherwise, over ${WATCH_S} s, percent of a core:`);
  for (let round = 0; round < 3; round += 1) {
    const none = await watched(null);
    const overview = await watched("/");
    const live = await watched("/logs?tab=live");
    console.log(`  nobody watches ${none.toFixed(2)}   overview ${overview.toFixed(2)}   live log ${live.toFixed(2)}`);
  }
} finally {
  await browser.close();
  await gateway.stop();
}
