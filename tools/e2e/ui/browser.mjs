// A real browser, and what is wrong with a page that it shows.

import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// How somebody looks at it.
export const VIEWS = {
  light: { viewport: { width: 1280, height: 860 }, colorScheme: "light" },
  dark: { viewport: { width: 1280, height: 860 }, colorScheme: "dark" },
  narrow: { viewport: { width: 360, height: 740 }, colorScheme: "light" },
};

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const name of NAMES) {
    for (const folder of (process.env.PATH ?? "").split(delimiter)) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Not here.
      }
    }
  }
  throw new Error("no Chromium is installed (Debian: chromium)");
}

export const launch = () =>
  chromium.launch({ executablePath: executable(), args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb"] });

/// A tab of somebody, which remembers all that goes wrong in it.
export class Tab {
  static async open(browser, gateway, login, view = VIEWS.light) {
    const tab = new Tab();
    tab.gateway = gateway;
    tab.login = login;
    tab.wrong = [];
    tab.context = await browser.newContext({
      ...view,
      extraHTTPHeaders: gateway.headers(login),
      reducedMotion: "reduce",
      timezoneId: "Europe/Berlin",
      locale: "en-GB",
      acceptDownloads: true,
    });
    await tab.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: gateway.url });
    tab.page = await tab.context.newPage();
    tab.page.setDefaultTimeout(20_000);
    tab.page.on("console", (message) => {
      // What a test provokes on purpose, an answer with an error, is reported by the browser as well.
      if (["error", "warning"].includes(message.type()) && !tab.expected?.test(message.text())) {
        tab.wrong.push(`console ${message.type()}: ${message.text()}`);
      }
    });
    tab.page.on("pageerror", (error) => tab.wrong.push(`exception: ${error.message}`));
    tab.page.on("dialog", (dialog) => {
      tab.wrong.push(`dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
    tab.page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol.startsWith("http") && url.origin !== gateway.url) tab.wrong.push(`foreign host: ${url.origin}`);
    });
    tab.page.on("response", (response) => {
      if (response.status() >= 500) tab.wrong.push(`${response.status()} ${response.url()}`);
    });
    return tab;
  }

  /// Goes to a page of the dashboard, and waits until it has loaded what it shows.
  async visit(path) {
    await this.page.goto(`${this.gateway.url}/ui${path}`);
    await this.settled();
  }

  async settled() {
    await this.page.locator("main h1").first().waitFor();
    await this.page.waitForFunction(() => !document.querySelector('[aria-busy="true"], main .skeleton'));
    await this.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }

  /// Serious findings of axe, each with the places it is about.
  async axe() {
    // Evaluated, not added as a script: the page's policy would not let it in.
    const { readFile } = await import("node:fs/promises");
    await this.page.evaluate(await readFile(AXE, "utf8"));
    const result = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const all = result.violations.map((found) => ({
      id: found.id,
      impact: found.impact,
      help: found.help,
      places: found.nodes.map((node) => `${node.target.join(" ")} ${node.failureSummary?.split("\n")[1]?.trim() ?? ""}`).slice(0, 5),
    }));
    return {
      serious: all.filter((found) => ["serious", "critical"].includes(found.impact)),
      other: all.filter((found) => !["serious", "critical"].includes(found.impact)),
    };
  }

  /// By how many pixels the page is wider than its window.
  async overflow() {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }

  async close() {
    await this.context.close();
  }
}
