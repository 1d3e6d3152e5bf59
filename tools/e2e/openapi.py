"""The admin API against its own description: Schemathesis asks everything that `openapi.json` describes, and much that it
forbids, of a real gateway, once as an admin and once as a user.

Each role has a gateway of its own, with a few records, so that there is something to be found. Its document lets the
mock provider be asked, names a budget and lifts the limits of the API, which would else be all that is tested. It is
replaced by nobody: what is generated is either no usable document, or one that would take the role admin from who saves
it, and both are refused.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

PATIENCE_S = 60
# Seconds of asking, for each role.
ASKING_S = 40
# A stream of events has no end that a test could wait for.
ENDLESS = ["/api/live"]
HERE = pathlib.Path(__file__).parent


def main():
    sluice = sys.argv[1]
    failed = [role for role in ("admin", "user") if not asked(sluice, role)]
    if failed:
        raise SystemExit(f"the admin API is not as it is described, asked by: {', '.join(failed)}")


def asked(sluice, role):
    """Whether everything is as described to callers of this role."""
    with tempfile.TemporaryDirectory(prefix="sluice-openapi-") as folder:
        folder = pathlib.Path(folder)
        mock = Program([sluice, "mock", "--listen", "127.0.0.1:0"], folder / "mock.log", "mock provider on")
        with mock:
            (folder / "sluice.json").write_text(json.dumps(document(role, mock.word)))
            up = [sluice, "up", "--config", "sluice.json", "--listen", "127.0.0.1:0", "--data", "data"]
            with Program(up, folder / "log", "listening", until="ready", cwd=folder) as gateway:
                url = gateway.word if gateway.word.startswith("http") else f"http://{gateway.word}"
                record = traffic(url)
                conditional(url)
                print(f"── as {role}", flush=True)
                return schemathesis(url, record, folder)


def document(role, mock):
    """A document by which everybody on this machine has the role."""
    provider = {
        "baseurl": mock,
        "models": ["**"],
        "auth_mode": "none",
        "compatibility": {"openai_chat": True, "anthropic_messages": True},
    }
    capability = {"role": role, "models": "**", "quotas": [{"bucket": "daily:<user>"}]}
    return {
        "providers": {"mock": provider},
        "quotas": {"daily:<user>": {"capacity": "$10.00", "rate": "$10.00/day"}},
        "grants": [
            {"src": ["*"], "capabilities": [capability]},
            # Without an admin a document is not taken; this one is nobody.
            {"src": ["root@example.com"], "capabilities": [{"role": "admin"}]},
        ],
        "identity": {"sources": ["loopback", "token"]},
        "limits": {"api_reads_per_s": 0, "api_changes_per_s": 0},
    }


def traffic(url):
    """Makes some records, and gives the newest once they are there."""
    for number in range(4):
        body = {"model": "gpt-5", "messages": [{"role": "user", "content": f"say {number}"}], "stream": number % 2 == 1}
        call(url, "/v1/chat/completions", body, {"x-session-id": "openapi"})
    end = time.monotonic() + PATIENCE_S
    while True:
        records = call(url, "/api/requests")["requests"]
        captured = call(url, "/api/captures")["captures"]
        if len(records) == 4 and len(captured) == 4:
            return captured[0]["request_id"]
        if time.monotonic() > end:
            raise SystemExit(f"{len(records)} records and {len(captured)} captures of 4 requests")
        time.sleep(0.05)


def conditional(url):
    """Entity tags and HEAD on their way through the data plane."""
    for path in ("/api/requests", "/aperture/openapi.json"):
        with urllib.request.urlopen(url + path, timeout=PATIENCE_S) as answer:
            tag, length = answer.headers["etag"], len(answer.read())
        head = urllib.request.Request(url + path, method="HEAD")
        with urllib.request.urlopen(head, timeout=PATIENCE_S) as answer:
            found = (answer.headers["etag"], answer.headers["content-length"], answer.read())
        if found != (tag, str(length), b""):
            raise SystemExit(f"HEAD {path}: {found}, but GET said {tag} and {length} bytes")
        again = urllib.request.Request(url + path, headers={"if-none-match": tag})
        try:
            urllib.request.urlopen(again, timeout=PATIENCE_S)
            raise SystemExit(f"{path} was sent again to who has {tag}")
        except urllib.error.HTTPError as error:
            if (error.code, error.headers["etag"]) != (304, tag):
                raise SystemExit(f"{path}: {error.code} instead of 304") from None


def call(url, path, body=None, headers=None):
    headers = {"content-type": "application/json", **(headers or {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            kind = answer.headers.get("content-type", "")
            return json.load(answer) if kind.startswith("application/json") else answer.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"{path}: {error.code} {error.read()!r}") from None


def schemathesis(url, record, folder):
    """Runs it with the description of the gateway, in which what is there is the example of ids."""
    description = call(url, "/aperture/openapi.json")
    for path in ENDLESS:
        description["paths"].pop(path, None)
    description["components"]["parameters"]["RequestId"]["example"] = record
    session = call(url, "/api/sessions")["sessions"][0]["id"]
    description["components"]["parameters"]["SessionId"]["example"] = session
    (folder / "openapi.json").write_text(json.dumps(description))
    run = subprocess.run(
        [
            str(pathlib.Path(sys.executable).parent / "schemathesis"),
            "--config-file",
            str(HERE / "schemathesis.toml"),
            "run",
            str(folder / "openapi.json"),
            f"--url={url}",
            f"--max-time={ASKING_S}",
            "--request-timeout=20",
            "--no-color",
            "--generation-database=none",
        ],
        cwd=folder,
        timeout=20 * ASKING_S,
        check=False,
    )
    return run.returncode == 0


class Program:
    """A program for as long as a `with` block runs, and the word of its output that follows some other words."""

    def __init__(self, command, log, before, until=None, cwd=None):
        self.command, self.log, self.before, self.until, self.cwd = command, log, before, until, cwd
        self.word = None

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=open(self.log, "wb"),
            text=True,
        )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(ready,), daemon=True).start()
        if not ready.wait(PATIENCE_S) or self.word is None:
            self.process.kill()
            raise SystemExit(f"{self.command} did not become ready:\n{self.log.read_text()}")
        return self

    def _read(self, ready):
        for line in self.process.stdout:
            line = line.strip()
            if self.word is None and line.startswith(self.before):
                self.word = line[len(self.before) :].split()[0]
            if self.word is not None and (self.until is None or line == self.until):
                ready.set()
        ready.set()

    def __exit__(self, *_):
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"{self.command} did not end after SIGTERM") from None
        if status != 0:
            raise SystemExit(f"{self.command} ended with {status}:\n{self.log.read_text()[-4000:]}")


if __name__ == "__main__":
    main()
