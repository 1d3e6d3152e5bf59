#!/usr/bin/env python3
"""The real daemon of a tailnet: this machine asks the gateway over its own tailnet address.

`tailnet.py SLUICE`. Needs `tailscaled` and `tailscale`, and a machine that is on a tailnet; without them it says so and
ends well. The gateway must name the caller as `tailscale whois` does.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PATIENCE_S = 60


def skip(why):
    print(f"SKIPPED: the tailnet; {why}")
    sys.exit(0)


def tailscale(*arguments):
    try:
        done = subprocess.run(
            ["tailscale", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def main():
    for program in ("tailscaled", "tailscale"):
        if shutil.which(program) is None:
            skip(f"{program} is not installed")
    status = tailscale("status", "--json")
    if status is None or json.loads(status).get("BackendState") != "Running":
        skip("this machine is on none (tailscale status)")
    status = json.loads(status)
    if not status.get("TUN", True):
        skip("the daemon runs without a network device, so this machine cannot call itself over it")
    address = tailscale("ip", "-4")
    known = json.loads(tailscale("whois", "--json", address))
    tags = sorted(known["Node"].get("Tags") or [])
    expected = ",".join(tags) if tags else known["UserProfile"]["LoginName"]

    with tempfile.TemporaryDirectory(prefix="sluice-tailnet-") as folder:
        document = pathlib.Path(folder) / "sluice.hujson"
        document.write_text(
            json.dumps(
                {
                    "providers": {"p": {"baseurl": "http://127.0.0.1:9", "models": ["m"]}},
                    "grants": [{"src": ["*"], "capabilities": [{"role": "user"}, {"models": "**"}]}],
                    "identity": {"sources": ["tailscale"]},
                    "listeners": [{"address": f"{address}:18080"}],
                }
            )
        )
        with open(pathlib.Path(folder) / "log", "wb") as log:
            gateway = subprocess.Popen(
                [sys.argv[1], "up", "--config", str(document), "--data", folder + "/data"],
                stdout=log,
                stderr=log,
            )
        try:
            end = time.monotonic() + PATIENCE_S
            body = json.dumps({"model": "m", "messages": []}).encode()
            while True:
                request = urllib.request.Request(
                    f"http://{address}:18080/v1/chat/completions",
                    data=body,
                    headers={"content-type": "application/json"},
                )
                try:
                    urllib.request.urlopen(request, timeout=PATIENCE_S)
                    break
                except urllib.error.HTTPError as error:
                    # The provider is nobody: that far it was let in.
                    if error.code == 502:
                        break
                    raise SystemExit(f"status {error.code}: {error.read()!r}") from None
                except urllib.error.URLError:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.05)
            while True:
                with urllib.request.urlopen(f"http://{address}:18080/api/requests", timeout=PATIENCE_S) as answer:
                    requests = json.load(answer)["requests"]
                if requests:
                    break
                if time.monotonic() > end:
                    raise SystemExit("no record came")
                time.sleep(0.05)
            if requests[0]["user"] != expected:
                raise SystemExit(f"the gateway says {requests[0]['user']!r}, the daemon {expected!r}")
            print(f"the tailnet: {expected} is known at {address}")
        finally:
            gateway.terminate()
            gateway.wait(PATIENCE_S)


if __name__ == "__main__":
    main()
