// Every page of the dashboard, by name.

/// `ids` are of a session and of a request that were made, and maybe of a person.
export const pages = (ids) => ({
  overview: "/",
  sessions: "/logs",
  requests: "/logs?tab=requests",
  live: "/logs?tab=live",
  session: `/sessions/${ids.session}`,
  request: `/requests/${ids.request}`,
  tools: "/tools",
  adoption: "/adoption",
  models: "/models",
  model: "/models/gpt-5.5",
  providers: "/providers",
  quotas: "/quotas",
  guardrails: "/guardrails",
  people: "/people",
  person: `/people/${encodeURIComponent(ids.person ?? "bob@example.com")}`,
  tokens: "/tokens",
  audit: "/audit",
  settings: "/settings",
  document: "/settings?tab=document",
  history: "/settings?tab=history",
  connect: "/connect",
});

/// What somebody without the role admin may open.
export const own = ["overview", "sessions", "requests", "live", "session", "request", "tools", "models", "model", "quotas", "tokens", "connect"];
