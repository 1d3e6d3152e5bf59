// A mock provider and a gateway in front of it, for as long as a test runs; and people with tokens who call it.
//
// The gateway believes that it stands behind `tailscale serve`, whose headers say who calls: one browser can be an
// administrator in one tab and somebody without any rights in the next.

import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
const PATIENCE_MS = 60_000;

export const ADMIN = "alice@example.com";
export const USER = "bob@example.com";
/// Somebody whose budget is used up by two calls.
export const POOR = "carol@example.com";
/// A machine, which has a token.
export const MACHINE = "tag:ci";

/// The document that the gateway runs with, where a test brings none of its own.
export const configuration = (mock, more = "") => `{
  // Two people and a machine in front of a provider that makes everything up.
  "providers": {
    "anthropic": {
      "baseurl": "${mock}", "models": ["claude-sonnet-4-5", "claude-opus-4-5", "claude-haiku-4-5"], "auth_mode": "none",
      "compatibility": { "anthropic_messages": true }, "description": "Claude, by way of the mock provider",
    },
    "openai": {
      "baseurl": "${mock}/v1", "models": ["gpt-5.5", "gpt-5-mini", "vendor/family/model-1", "*"], "auth_mode": "none", "preference": -1,
      "compatibility": { "openai_chat": true, "openai_responses": true },
    },
    "google": {
      "baseurl": "${mock}", "models": ["gemini-2.5-pro"], "auth_mode": "none", "compatibility": { "gemini_generate_content": true },
    },
  },
  "identity": { "sources": ["serve_headers", "token"] },
  "listeners": [{ "address": "127.0.0.1:0", "serve_headers": true }],
  "grants": [
    { "src": ["${ADMIN}"], "capabilities": [{ "role": "admin", "models": "**", "read_metrics": true }] },
    { "src": ["${USER}", "${POOR}", "dave@example.com", "erin@example.com", "${MACHINE}"], "capabilities": [{ "role": "user", "models": "**" }] },
    { "src": ["*"], "capabilities": [{ "quotas": [{ "bucket": "daily:<user>" }, { "bucket": "everybody" }] }] },
    ${more}
    { "src": ["${POOR}"], "capabilities": [{ "quotas": [{ "bucket": "trial:<user>" }] }] },
  ],
  "quotas": {
    "daily:<user>": { "capacity": "$10.00", "rate": "$5.00/day" },
    "everybody": { "capacity": "$500.00", "rate": "$200.00/day" },
    "trial:<user>": { "requests": 2 },
  },
  "guardrails": {
    "secrets": { "on": ["requests", "answers"], "detectors": ["secrets"], "action": "redact" },
    // Counted only, to see what it would do.
    "addresses": { "detectors": ["email"], "action": "block", "shadow": true },
  },
  "database": { "retention": { "duration": "90d" } },
}
`;

/// A program that prints what it is about, a word first, until it prints `ready` or whatever `last` says.
class Program {
  constructor(command, args, options) {
    this.lines = [];
    this.errors = "";
    this.process = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.process.stderr.on("data", (text) => {
      this.errors = (this.errors + text).slice(-8_000);
    });
  }

  async until(last) {
    const reader = createInterface({ input: this.process.stdout });
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("not ready in time")), PATIENCE_MS);
      reader.on("line", (line) => {
        this.lines.push(line);
        if (last(line)) {
          clearTimeout(timer);
          resolve();
        }
      });
      this.process.on("exit", (code) => {
        clearTimeout(timer);
        reject(new Error(`ended with ${code}: ${this.lines.join("\n")}\n${this.errors}`));
      });
    });
  }

  after(word) {
    const line = this.lines.map((line) => line.trim().split(/\s+/)).find((fields) => fields[0] === word);
    if (!line) throw new Error(`no line ${word}:\n${this.lines.join("\n")}`);
    return line[1];
  }

  async end() {
    if (this.process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.process.on("exit", resolve));
    this.process.kill("SIGTERM");
    const timer = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE_MS);
    await ended;
    clearTimeout(timer);
  }
}

export class Gateway {
  /// `grants`: more of them, as text. `document`: another one, made from the address of the mock provider.
  static async start(sluice, { data, grants, document = configuration } = {}) {
    const gateway = new Gateway();
    // Programs run elsewhere.
    sluice = resolve(sluice);
    gateway.sluice = sluice;
    gateway.folder = await mkdtemp(join(tmpdir(), "sluice-ui-"));
    gateway.data = data ?? join(gateway.folder, "data");
    gateway.config = join(gateway.folder, "sluice.hujson");
    gateway.mock = new Program(sluice, ["mock", "--listen", "127.0.0.1:0"], { cwd: gateway.folder });
    await gateway.mock.until((line) => /http:\/\//.test(line));
    const address = gateway.mock.lines.join(" ").match(/http:\/\/[\d.:]+/)[0];
    await writeFile(gateway.config, document(address, grants));
    const args = ["up", "--config", gateway.config, "--data", gateway.data];
    // The one user of this folder; as root the gateway would become nobody, who cannot write here.
    if (process.getuid?.() === 0) args.push("--user", "0:0");
    gateway.program = new Program(sluice, args, { cwd: gateway.folder });
    await gateway.program.until((line) => line.trim() === "ready");
    gateway.url = gateway.program.after("listening");
    gateway.machine = await gateway.token(["--tag", MACHINE]);
    return gateway;
  }

  async token(whose) {
    const { stdout } = await run(this.sluice, ["token", "create", ...whose, "--data", this.data]);
    const found = stdout.match(/slt_\S+/);
    if (!found) throw new Error(`no token in:\n${stdout}`);
    return found[0];
  }

  headers(login) {
    return login === MACHINE ? { authorization: `Bearer ${this.machine}` } : { "tailscale-user-login": login };
  }

  /// A call of a model, or of the API; the answer's body is read.
  async call(login, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method: body === undefined ? "GET" : "POST",
      headers: { ...this.headers(login), ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, id: answer.headers.get("x-sluice-request-id"), text };
  }

  async get(path, login = ADMIN) {
    const { status, text } = await this.call(login, path);
    if (status !== 200) throw new Error(`${path}: ${status} ${text}`);
    return JSON.parse(text);
  }

  /// Waits until the API shows what a test has done; it follows within moments.
  async eventually(path, holds, login = ADMIN) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const answer = await this.get(path, login);
      if (holds(answer)) return answer;
      if (Date.now() > end) throw new Error(`${path} never showed it: ${JSON.stringify(answer).slice(0, 2_000)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  async stop() {
    await this.program?.end();
    await this.mock?.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}
