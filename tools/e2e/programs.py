"""Claude Code, Codex and Gemini CLI finish a scripted tool call through `sluice up` against the mock provider.

Each gets an empty home, a canary for a key and no telemetry. The mock provider answers the marker in the prompt with
a shell call; the program runs it and sends the result; the mock provider quotes it; the program prints that.

Usage: programs.py [--node FOLDER] PATH_OF_SLUICE
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from gateway import CLIENT, PROMPT, Gateway

PACKAGES = ["@anthropic-ai/claude-code@2.1.197", "@openai/codex@0.169.0", "@google/gemini-cli@0.61.0"]
PATIENCE_S = 120
# Printed by the shell only: the prompt has it in two halves.
PROOF = "the-gate-is-open"
COMMAND = "printf '%s-%s' the-gate is-open"


def claude(programs, url, home):
    prompt = marker("Bash", {"command": COMMAND, "description": "say it"})
    return (
        [programs / "claude", "-p", prompt, "--allowedTools", "Bash"],
        {
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_AUTH_TOKEN": CLIENT.value,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_TELEMETRY": "1",
            "IS_SANDBOX": "1",
        },
        ["anthropic_messages"] * 2,
    )


def codex(programs, url, home):
    prompt = marker("exec_command", {"cmd": COMMAND})
    provider = f'model_providers.sluice={{name="sluice",base_url="{url}/v1",env_key="SLUICE_KEY",wire_api="responses"}}'
    settings = ["-c", 'model_provider="sluice"', "-c", provider, "-c", "analytics.enabled=false", "-m", "gpt-5.5"]
    return (
        [programs / "codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
        + settings
        + [prompt],
        {"SLUICE_KEY": CLIENT.value},
        ["openai_responses"] * 2,
    )


def codex_built_in(programs, url, home):
    """The built-in provider tries a WebSocket first; 426 makes it fall back to POST at once."""
    command, _, kinds = codex(programs, url, home)
    settings = ["-c", f'openai_base_url="{url}/v1"', "-c", "analytics.enabled=false", "-m", "gpt-5.5"]
    return command[:4] + settings + command[-1:], {"OPENAI_API_KEY": CLIENT.value, "CODEX_API_KEY": CLIENT.value}, kinds


def gemini(programs, url, home):
    prompt = marker("run_shell_command", {"command": COMMAND, "description": "say it"})
    settings = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "telemetry": {"enabled": False},
        "privacy": {"usageStatisticsEnabled": False},
    }
    (home / ".gemini").mkdir()
    (home / ".gemini/settings.json").write_text(json.dumps(settings))
    return (
        [programs / "gemini", "--skip-trust", "--yolo", "-p", prompt],
        {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": CLIENT.value},
        ["gemini_generate_content"] * 3,
    )


def marker(tool, arguments):
    return f"{PROMPT.value} MOCK_TOOL" + json.dumps({"name": tool, "input": arguments}, separators=(",", ":"))


def install(folder):
    programs = folder / "node_modules/.bin"
    if not all((programs / name).exists() for name in ["claude", "codex", "gemini"]):
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--no-fund", "--no-audit", "--prefix", folder, *PACKAGES], check=True)
    return programs


def attempt(program, programs, gw):
    before = len(gw.records(0))
    with tempfile.TemporaryDirectory(prefix="sluice-home-") as home:
        home = pathlib.Path(home)
        work = home / "work"
        work.mkdir()
        command, environment, kinds = program(programs, gw.url, home)
        done = subprocess.run(
            command,
            cwd=work,
            env={"PATH": os.environ["PATH"], "HOME": str(home), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
    records = gw.records(before + len(kinds))[before:]
    metered = [r for r in records if r["status"] == 200 and r["api"] in kinds]
    problems = []
    if PROOF not in done.stdout + done.stderr:
        problems.append(f"the tool's result does not show:\n{done.stdout}\n{done.stderr}")
    if "The tool answered" not in done.stdout:
        problems.append(f"it did not come to the last answer:\n{done.stdout}\n{done.stderr}")
    if done.returncode != 0:
        problems.append(f"it ended with {done.returncode}")
    if [r["api"] for r in metered] != kinds:
        problems.append(f"records of {[(r['api'], r['status']) for r in records]}, not of {kinds}")
    if not all(r["usage_known"] == "reported" and r["input"] and r["output"] for r in metered):
        problems.append(f"usage is missing: {metered}")
    tools = sum(r["tool_calls"] for r in metered)
    if tools != 1:
        problems.append(f"{tools} tool calls metered")
    print(f"{'FAIL' if problems else 'ok  '} {program.__name__}: {len(metered)} requests metered, "
          f"{sum(r['input'] or 0 for r in metered)} tokens in, {sum(r['output'] or 0 for r in metered)} out")
    for problem in problems:
        print(f"     {problem}")
    return not problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", type=pathlib.Path, default=pathlib.Path("target/clients"))
    parser.add_argument("sluice")
    options = parser.parse_args()
    programs = install(options.node.absolute())
    with Gateway(options.sluice) as gw:
        results = [attempt(program, programs, gw) for program in [claude, codex, codex_built_in, gemini]]
    print(f"{sum(results)} passed, {results.count(False)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
