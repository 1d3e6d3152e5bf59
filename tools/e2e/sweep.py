"""The canary sweep: secrets and prompts planted in a gateway, then looked for everywhere they must not be.

A canary is a random value that stands for something secret. It is looked for raw, in base64 at each of the three
alignments, in base64url, hex and percent-encoding, each by its first eight bytes, so that a part of it is found, too; of
provider keys also the SHA-256. The places are listed with the bytes looked at and the hits. Every end-to-end run ends with
it (`Gateway` in gateway.py); run by itself, it starts a gateway with a document, plants canaries wherever the document can
hold a secret, provokes errors, and sweeps.

Usage: sweep.py PATH_OF_SLUICE
"""

import base64
import hashlib
import http.client
import http.server
import json
import os
import pathlib
import re
import secrets
import shutil
import socket
import stat
import string
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

# Bytes of a canary that give it away.
PART = 8
# Files that may hold the document's secrets, because they are the document or made of it. They must be 0600.
DECLARED = ("snapshot.bin", "config.last.hujson", "config.hujson", "config-history/")
# Where captures are kept, and where they wait as the data plane wrote them. The latter are not compressed: what must not be in a
# capture is found there.
CAPTURES = re.compile(r"captures/\d+\.caps|journal/\d+/(\d+-\d+\.(cap|carry)|\.cap-\d+)")
# Every route of the admin API that answers a GET; ones that a version does not have answer 404, which is looked at, too.
ROUTES = [
    "/api/requests?limit=1000",
    "/api/usage?by=user",
    "/api/usage?by=model",
    "/api/usage?by=provider",
    "/api/usage?by=day",
    "/api/sessions?limit=1000",
    "/api/captures",
    "/api/tool-calls",
    "/api/hooks",
    "/api/hooks/dead",
    "/api/exports",
    "/api/export?format=jsonl",
    "/api/audit?limit=1000",
    "/api/audit/verify",
    "/api/providers",
    "/api/health",
    "/api/config",
    "/api/config/history",
    "/api/config/history/1",
    "/api/config/history/2",
    "/api/tokens",
    "/api/explain?as=someone@example.com&model=good-1",
    "/api/no-such-thing",
    "/api/requests?limit=none",
    "/aperture/config",
    "/aperture/no-such-thing",
    "/ui",
    "/v1/models",
    "/metrics",
    "/readyz",
    "/",
]


class Canary:
    """One planted value. `declared`: it may stand in the files of DECLARED. `captured`: it may stand where captures are
    kept or on their way. `stored_hash`: its SHA-256 may stand in the store, which is how it is kept."""

    def __init__(self, name, value=None, declared=False, captured=False, hashed=False, stored_hash=False):
        # No prefix that others have, too: the first eight bytes are to be telling.
        alphabet = string.ascii_letters + string.digits
        self.name = name
        self.value = value or "".join(secrets.choice(alphabet) for _ in range(40))
        self.declared = declared
        self.captured = captured
        self.hashed = hashed
        self.stored_hash = stored_hash

    def patterns(self):
        """(form, bytes to look for)."""
        raw = self.value.encode()
        part = raw[:PART]
        found = [("raw", part), ("hex", part.hex().encode()), ("HEX", part.hex().upper().encode())]
        for case in ("%{:02x}", "%{:02X}"):
            found.append(("percent", "".join(case.format(byte) for byte in part).encode()))
        for shift in range(3):
            # Characters that depend on neighbours are left out.
            for kind, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
                text = encode(b"\0" * shift + raw)
                first = -(-shift * 8 // 6)
                last = (shift + PART) * 8 // 6
                found.append((f"{kind}+{shift}", text[first:last]))
        if self.hashed or self.stored_hash:
            digest = hashlib.sha256(raw)
            found += [
                ("sha256", digest.hexdigest()[:16].encode()),
                ("SHA256", digest.hexdigest()[:16].upper().encode()),
                ("sha256 bytes", digest.digest()[:12]),
                ("sha256 base64", base64.b64encode(digest.digest())[:16]),
            ]
        return sorted(set(found))


class Sweep:
    """Places looked at, and what was found in them."""

    def __init__(self, canaries):
        self.canaries = [(canary, canary.patterns()) for canary in canaries]
        self.rows = []
        self.hits = []

    def look(self, place, data, exempt=lambda canary, form: False):
        """Looks for every canary in every form."""
        hits = [
            (canary.name, form)
            for canary, patterns in self.canaries
            for form, pattern in patterns
            if pattern in data and not exempt(canary, form)
        ]
        self.rows.append((place, len(data), len(hits)))
        self.hits += [(place, *hit) for hit in hits]

    def total(self, beginning):
        return sum(size for place, size, _ in self.rows if place.startswith(beginning))

    def report(self, out=sys.stdout):
        # One line for all files of a kind keeps the list readable.
        print(f"canary sweep: {len(self.canaries)} canaries, {sum(len(p) for _, p in self.canaries)} patterns", file=out)
        for place, size, hits in self.rows:
            print(f"  {place:<58} {size:>10} bytes {hits:>3} hits", file=out)
        for place, name, form in self.hits:
            print(f"  HIT  {place}: {name} as {form}", file=out)
        size = sum(size for _, size, _ in self.rows)
        print(f"canary sweep: {len(self.rows)} places, {size} bytes, {len(self.hits)} hits", file=out)


def self_test():
    """Teeth: each form of each kind of canary, planted in the middle of something, is found, and nothing else is."""
    canaries = [Canary("provider key", hashed=True), Canary("token", stored_hash=True), Canary("prompt", captured=True)]
    planted = 0
    for canary in canaries:
        raw = canary.value.encode()
        digest = hashlib.sha256(raw)
        forms = [raw, raw[:PART], raw[:-1], raw.hex().encode(), raw.hex().upper().encode()]
        forms += ["".join(f"%{byte:02x}" for byte in raw).encode(), "".join(f"%{byte:02X}" for byte in raw).encode()]
        for before in (b"", b"a", b"ab", b"Bearer "):
            forms += [base64.b64encode(before + raw + b":x"), base64.urlsafe_b64encode(before + raw)]
        if canary.hashed or canary.stored_hash:
            forms += [digest.hexdigest().encode(), digest.hexdigest().upper().encode(), digest.digest()]
        for form in forms:
            sweep = Sweep(canaries)
            sweep.look("planted", b"\x00before " + form + b" after\xff")
            if {name for _, name, _ in sweep.hits} != {canary.name}:
                raise SystemExit(f"the sweep is blind: {canary.name} as {form!r} gave {sweep.hits}")
            planted += 1
    clean = Sweep(canaries)
    clean.look("clean", os.urandom(1 << 20) + b"".join(base64.b64encode(os.urandom(3000)) for _ in range(20)))
    if clean.hits:
        raise SystemExit(f"the sweep sees things: {clean.hits}")
    print(f"canary sweep: self-test: {planted} leaks planted, {planted} found")


def descendants(pid):
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += parents.get(found[-1], [])
    return sorted(found)


def get(url, path):
    request = urllib.request.Request(url + path)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return str(answer.headers).encode() + answer.read()
    except urllib.error.HTTPError as error:
        return str(error.headers).encode() + error.read()


def sweep_gateway(canaries, url, data, pid, logs):
    """Looks at everything that a running gateway shows and keeps. Returns the finished sweep."""
    sweep = Sweep(canaries)
    for path in ROUTES:
        sweep.look(f"GET {path}", get(url, path))
    names = {}
    for process in descendants(pid):
        name = (pathlib.Path(f"/proc/{process}/comm").read_text().strip()) or str(process)
        names[name] = process
        for kind in ("cmdline", "environ"):
            try:
                content = pathlib.Path(f"/proc/{process}/{kind}").read_bytes()
            except PermissionError:
                print(f"  SKIPPED: /proc/{process}/{kind} of {name}: closed to its own user, which is as good")
                continue
            sweep.look(f"/proc/{name}/{kind}", content)
    for wanted in ("sluice-up", "sluice-control", "sluice-data"):
        if wanted not in names:
            sweep.hits.append(("processes", wanted, "is missing"))
    for log in logs:
        sweep.look(f"log {log.name}", log.read_bytes())
    look_at_files(sweep, pathlib.Path(data))
    for beginning in ("log ", "data store", "data journal", "/proc/sluice-data/cmdline", "GET /metrics"):
        if sweep.total(beginning) == 0:
            sweep.hits.append((beginning, "nothing", "was there to look at"))
    return sweep


def look_at_files(sweep, data):
    """The whole data directory, as it lies there."""
    for path in sorted(data.rglob("*")):
        try:
            info = path.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(info.st_mode):
            continue
        name = str(path.relative_to(data))
        declared = any(name == file or (file.endswith("/") and name.startswith(file)) for file in DECLARED)
        mode = stat.S_IMODE(info.st_mode)
        if mode != 0o600:
            sweep.hits.append((f"data {name}", "mode", oct(mode)))
        in_store = name.startswith("store.sqlite")
        in_capture = CAPTURES.fullmatch(name) is not None

        def exempt(canary, form):
            if declared and canary.declared and not form.lower().startswith("sha256"):
                return True
            if in_capture and canary.captured:
                return True
            return in_store and canary.stored_hash and form.lower().startswith("sha256")

        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        sweep.look(f"data {name}{' (declared)' if declared else ''}", content, exempt)


def with_teeth(canaries, url, data, pid, logs):
    """Sweeps twice: with a leak planted in the data directory, which must be found, and without. Returns the hits."""
    leak = pathlib.Path(data) / "leak"
    leak.write_bytes(b"x" + base64.b64encode(b"yz" + canaries[0].value.encode()))
    leak.chmod(0o600)
    try:
        planted = Sweep(canaries)
        look_at_files(planted, pathlib.Path(data))
    finally:
        leak.unlink()
    if not any(place == "data leak" for place, *_ in planted.hits):
        raise SystemExit("the sweep did not find the leak that was planted for it")
    sweep = sweep_gateway(canaries, url, data, pid, logs)
    sweep.report()
    return sweep.hits


KINDS = {"openai_chat": True, "anthropic_messages": True, "gemini_generate_content": True}

# The run of its own: a document with a secret in every place that takes one, and every error on the way.


class Echo(http.server.BaseHTTPRequestHandler):
    """A provider that refuses everybody and says with which key, as some do."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        shown = {name: value for name, value in self.headers.items()}
        body = json.dumps({"error": {"message": f"Incorrect API key provided: {shown}", "code": "invalid_api_key"}}).encode()
        self.send_response(401, f"no {self.headers.get('authorization', '')}")
        self.send_header("content-type", "application/json")
        self.send_header("www-authenticate", f"Bearer error=\"{self.headers.get('authorization', '')}\"")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def post(url, path, body, headers=()):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data=data, headers={"content-type": "application/json", **dict(headers)})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def raw(address, text):
    """Sends bytes that no library would."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while True:
            try:
                part = connection.recv(65536)
            except ConnectionResetError:
                return answer
            if not part:
                return answer
            answer += part


def wait_for(what, look, patience_s=60):
    end = time.monotonic() + patience_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise SystemExit(f"waited in vain for {what}")
        time.sleep(0.02)


def sluice_has(sluice, command):
    return subprocess.run([sluice, command, "--help"], capture_output=True).returncode == 0


def run(sluice):
    self_test()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-sweep-"))
    processes = []
    try:
        return document_run(sluice, folder, processes)
    finally:
        for process in reversed(processes):
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def document_run(sluice, folder, processes):
    key_env = Canary("provider key in a variable", declared=True, hashed=True)
    key_file = Canary("provider key in a file", declared=True, hashed=True)
    key_literal = Canary("provider key in the document", declared=True, hashed=True)
    key_dns = Canary("key of a provider without address", declared=True, hashed=True)
    key_tls = Canary("key of a provider with a bad certificate", declared=True, hashed=True)
    key_late = Canary("provider key after a rotation", declared=True, hashed=True)
    header = Canary("secret in add_headers", declared=True, hashed=True)
    header_grant = Canary("secret in a grant's add_headers", declared=True, hashed=True)
    bystander = Canary("variable that nobody asked for", hashed=True)
    client = Canary("credential of a client", hashed=True)
    query = Canary("credential in a query", hashed=True)
    prompt = Canary("prompt", captured=True)
    canaries = [key_env, key_file, key_literal, key_dns, key_tls, key_late, header, header_grant, bystander, client]
    canaries += [query, prompt]

    mock = subprocess.Popen(
        [sluice, "mock", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    processes.append(mock)
    mock_url = mock.stdout.readline().split()[-1]
    echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=echo.serve_forever, daemon=True).start()
    echo_url = f"http://127.0.0.1:{echo.server_address[1]}"

    (folder / "key").write_text(key_file.value + "\n")
    document = folder / "sluice.hujson"

    def write(literal, bearer="narrow"):
        text = {
            "providers": {
                "good": {
                    "baseurl": mock_url,
                    "models": ["good-*"],
                    "compatibility": KINDS,
                    "apikey": "${env:CANARY_KEY}",
                    "add_headers": ["x-vendor-secret: ${env:CANARY_HEADER}"],
                },
                "filed": {"baseurl": mock_url, "models": ["filed-*"], "compatibility": KINDS, "apikey": "${file:key}"},
                "literal": {"baseurl": mock_url, "models": ["literal-*"], "compatibility": KINDS, "apikey": literal.value},
                "echo": {"baseurl": echo_url, "models": ["echo-*"], "apikey": "${file:key}"},
                "dns": {"baseurl": "http://no-such-host.invalid", "models": ["dns-*"], "apikey": key_dns.value},
                "tls": {"baseurl": f"https://127.0.0.1:{echo.server_address[1]}", "models": ["tls-*"], "apikey": key_tls.value},
            },
            "identity": {"sources": ["loopback", "token"], "bearer": bearer},
            "grants": [
                {
                    "src": ["*"],
                    "capabilities": [
                        {"role": "admin", "models": "**", "read_metrics": True, "add_headers": [f"x-grant-secret: {header_grant.value}"]}
                    ],
                }
            ],
        }
        fresh = folder / "fresh"
        fresh.write_text(json.dumps(text))
        fresh.rename(document)

    write(key_literal)
    log = folder / "log"
    data = folder / "data"
    with open(log, "wb") as sink:
        gateway = subprocess.Popen(
            [sluice, "up", "--config", document, "--listen", "127.0.0.1:0", "--data", data, "--shards", "1"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "SLUICE_LOG": "debug",
                "CANARY_KEY": key_env.value,
                "CANARY_HEADER": header.value,
                "SOME_OTHER_KEY": bystander.value,
            },
        )
    processes.append(gateway)
    wait_for("ready", lambda: b"\nready\n" in log.read_bytes() or gateway.poll() is not None)
    if gateway.poll() is not None:
        raise SystemExit("sluice up did not start:\n" + log.read_text())
    address = (data / "listen").read_text().split()[0]
    host, port = address.rsplit(":", 1)
    url = f"http://{address}"
    credentials = {"authorization": f"Bearer {client.value}", "x-api-key": client.value}
    tokens = issue_token(sluice, data, canaries)

    def chat(model, **more):
        return {"model": model, "messages": [{"role": "user", "content": f"Remember {prompt.value}."}], **more}

    wanted, found = [], []

    def expect(status, answer):
        wanted.append(status)
        found.append(answer[0])

    # Good calls, plain and streamed.
    for model in ("good-1", "filed-1", "literal-1"):
        expect(200, post(url, "/v1/chat/completions", chat(model), credentials))
        expect(200, post(url, "/v1/chat/completions", chat(model, stream=True), credentials))
        expect(200, post(url, "/v1/messages", chat(model, max_tokens=10), credentials))
    # It says somebody else than the connection, which is a conflict.
    for token in tokens:
        expect(403, post(url, "/v1/chat/completions", chat("good-1"), {"authorization": f"Bearer {token.value}"}))
    expect(200, post(url, f"/v1beta/models/good-1:generateContent?key={query.value}",
                     {"contents": [{"parts": [{"text": prompt.value}]}]}, credentials))
    # Every way to fail that a caller or a provider has.
    expect(401, post(url, "/v1/chat/completions", chat("echo-1"), credentials))
    expect(502, post(url, "/v1/chat/completions", chat("dns-1"), credentials))
    expect(502, post(url, "/v1/chat/completions", chat("tls-1"), credentials))
    expect(404, post(url, "/v1/chat/completions", chat("nobody-serves-this"), credentials))
    expect(400, post(url, "/v1/chat/completions", b'{"model": "good-1", ' + prompt.value.encode(), credentials))
    expect(400, post(url, "/v1/chat/completions", b'{"model": "good-1", "model": "' + prompt.value.encode() + b'"}', credentials))
    expect(404, post(url, f"/no/such/path?key={query.value}", chat("good-1"), credentials))
    for status in (400, 401, 403, 429, 500, 529):
        expect(status, post(url, "/v1/chat/completions", chat("good-1"), {**credentials, "x-mock-status": str(status)}))
    expect(415, post(url, "/v1/chat/completions", chat("good-1"), {**credentials, "content-encoding": "gzip"}))
    for path in ("/api/config", "/aperture/config"):
        post(url, path, chat("good-1"), credentials)
    if found != wanted:
        raise SystemExit(f"statuses {found}, expected {wanted}")
    secret = client.value.encode()
    for message in (
        b"GET /v1/models?key=" + secret + b" HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: Bearer " + secret + b"\r\n\r\n",
        b"GET /" + secret + b" HTTP/9.9\r\nHost: a\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer " + secret + b"\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: " + secret + b"\r\n\r\n",
        b"\x16\x03\x01" + secret,
        secret + b"\r\n\r\n",
    ):
        raw((host, int(port)), message)
    # Streams that break, on either side.
    for fault in ("reset:2", "fin:2", "half:1", "error:1"):
        try:
            post(url, "/v1/chat/completions", chat("good-1", stream=True), {**credentials, "x-mock-fault": fault})
        except (OSError, http.client.HTTPException):
            pass
    with socket.create_connection((host, int(port)), timeout=30) as leaver:
        body = json.dumps(chat("good-1", stream=True)).encode()
        leaver.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nx-mock-gap-ms: 50\r\n"
            b"x-mock-events: 500\r\nAuthorization: Bearer " + secret + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        leaver.recv(100)
    # Documents that do not hold, and one that does.
    document.write_text('{ "providers": { "p": { "apikey": "' + key_late.value + '", "bas" } }')
    wait_for("the refusal of a broken document", lambda: b"rejected\":null" not in get(url, "/api/health").replace(b" ", b""))
    write(key_late, "replace")
    wait_for("the rotated key", lambda: b"rejected\":null" in get(url, "/api/health").replace(b" ", b""))
    expect(200, post(url, "/v1/chat/completions", chat("literal-1"), credentials))
    # Now the token counts instead of the connection.
    for token in tokens:
        expect(200, post(url, "/v1/chat/completions", chat("good-1"), {"authorization": f"Bearer {token.value}"}))
    if found != wanted:
        raise SystemExit(f"statuses {found}, expected {wanted}")
    wait_for("records", lambda: get(url, "/api/requests?limit=1000").count(b"request_id") >= 25)
    # A plane that is killed in mid-stream leaves its journal for the next.
    killed = int((data / "dataplane.pid").read_text())
    os.kill(killed, 9)
    wait_for("another data plane", lambda: (data / "dataplane.pid").read_text().strip() != str(killed))
    wait_for("service", lambda: serves(url))
    post(url, "/v1/chat/completions", chat("good-1"), credentials)
    hits = with_teeth(canaries, url, data, gateway.pid, [log])
    check_sent(mock_url)
    gateway.terminate()
    gateway.wait(60)
    # What is left behind, and the last words.
    rest = Sweep(canaries)
    rest.look("log after the end", log.read_bytes())
    look_at_files(rest, data)
    rest.report()
    return hits + rest.hits


def serves(url):
    try:
        return b"ready" in get(url, "/readyz") or True
    except OSError:
        return False


def check_sent(mock_url):
    """The canaries were real: the mock provider was asked."""
    with urllib.request.urlopen(mock_url + "/mock/ledger?since=0&limit=1000", timeout=30) as answer:
        if len(json.load(answer)["entries"]) < 10:
            raise SystemExit("hardly anything reached the mock provider")


def issue_token(sluice, data, canaries):
    """A token of the gateway's own, where this version issues them."""
    if not sluice_has(sluice, "token"):
        print("  SKIPPED: gateway tokens: this version issues none")
        return []
    tokens = []
    for login in ("sweep@example.com",):
        done = subprocess.run(
            [sluice, "token", "create", "--login", login, "--data", data], capture_output=True, text=True
        )
        found = [word for word in done.stdout.replace('"', " ").split() if word.startswith("slt_")]
        if done.returncode != 0 or not found:
            raise SystemExit(f"sluice token create: {done.stdout}{done.stderr}")
        # Behind the prefix that all tokens have.
        canaries.append(Canary(f"gateway token of {login}", found[0][4:]))
        canaries.append(HashOnly(f"gateway token of {login}", found[0]))
        tokens.append(Canary("gateway token", found[0]))
    return tokens


class HashOnly(Canary):
    """The SHA-256 of a token, which may stand in the store only."""

    def __init__(self, name, value):
        super().__init__(name, value, stored_hash=True)

    def patterns(self):
        return [(form, pattern) for form, pattern in super().patterns() if form.lower().startswith("sha256")]


def main():
    hits = run(os.path.abspath(sys.argv[1]))
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main())
