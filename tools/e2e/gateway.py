"""`sluice up` with its mock provider, for as long as a `with` block runs, and what a test asks it.

Canaries are planted in its environment; tests use CLIENT as their credential and put PROMPT into what they ask. When the
block ends well, everything the gateway shows and keeps is swept for them (sweep.py).
"""

import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import urllib.request

import sweep

PATIENCE_S = 60

# What the clients show, and what they ask.
CLIENT = sweep.Canary("credential of a client", hashed=True)
PROMPT = sweep.Canary("prompt", captured=True)
# Keys that lie around where the gateway starts.
VARIABLES = {
    name: sweep.Canary(f"{name} in the environment", hashed=True)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SOME_VENDOR_KEY")
}


class Gateway:
    """A gateway on a free port, with a data directory that goes with it."""

    def __init__(self, sluice):
        self.sluice = sluice
        self.lines = []

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-e2e-")
        self.log = pathlib.Path(self.folder.name) / "log"
        self.process = subprocess.Popen(
            [self.sluice, "up", "--mock", "--listen", "127.0.0.1:0", "--data", self.folder.name + "/data"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=open(self.log, "wb"),
            text=True,
            cwd=self.folder.name,
            env={
                **os.environ,
                "SLUICE_LOG": "debug",
                **{name: canary.value for name, canary in VARIABLES.items()},
            },
        )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(ready,), daemon=True).start()
        if not ready.wait(PATIENCE_S):
            self.process.kill()
            raise SystemExit("sluice up did not become ready:\n" + "\n".join(self.lines) + self.log.read_text())
        self.url = self._after("listening")
        self.mock = self._after("mock")
        return self

    def __exit__(self, kind, *_):
        hits = []
        if kind is None:
            sweep.self_test()
            canaries = [*VARIABLES.values(), CLIENT, PROMPT]
            data = self.folder.name + "/data"
            hits = sweep.with_teeth(canaries, self.url, data, self.process.pid, [self.log])
        else:
            print(self.log.read_text()[-4000:])
        self.process.terminate()
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("sluice up did not end after SIGTERM") from None
        self.folder.cleanup()
        if hits:
            raise SystemExit(f"the canary sweep had {len(hits)} hits")
        if status != 0:
            raise SystemExit(f"sluice up ended with {status}")

    def _read(self, ready):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.strip() == "ready":
                ready.set()
        ready.set()

    def _after(self, word):
        for line in self.lines:
            fields = line.split()
            if fields[:1] == [word]:
                return fields[1]
        raise SystemExit(f"sluice up printed no line {word!r}:\n" + "\n".join(self.lines))

    def get(self, path, base=None):
        with urllib.request.urlopen((base or self.url) + path, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def records(self, at_least):
        """All request records, oldest first, once there are so many: the store follows within moments."""
        end = time.monotonic() + PATIENCE_S
        while True:
            records = self.get("/api/requests?limit=1000")["requests"]
            if len(records) >= at_least:
                return sorted(records, key=lambda record: (record["time"], record["request_id"]))
            if time.monotonic() > end:
                raise SystemExit(f"{len(records)} records, but {at_least} requests were made")
            time.sleep(0.02)

    def served(self):
        """What the mock provider says it served, oldest first."""
        return self.get("/mock/ledger?since=0&limit=1000", base=self.mock)["entries"]
