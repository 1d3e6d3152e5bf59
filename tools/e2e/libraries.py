"""The official OpenAI, Anthropic and Google client libraries through `sluice up`.

Each case makes calls as a user of the library would, with nothing changed but the base URL. The answer must be the
text that the mock provider was told to give, and each call must leave one record with what the provider counted.

Usage: libraries.py PATH_OF_SLUICE
"""

import json
import sys
import traceback

import anthropic
import httpx2
import openai
from google import genai
from google.genai import types

from gateway import CLIENT, PROMPT, Gateway

TEXT = "Seven words pass through the little gate."
HEADERS = {"x-mock-text": TEXT}
KEY = CLIENT.value
ASKED = f"hi {PROMPT.value}"

# Ids of the requests that a case made, as the gateway stated them in its answers.
seen = []
clients = {}


def watch_ids():
    """Notes the gateway's id of every answer that any of the libraries gets."""
    plain = httpx2.Client.send

    def send(client, request, **options):
        answer = plain(client, request, **options)
        seen.append(answer.headers.get("x-sluice-request-id"))
        return answer

    httpx2.Client.send = send


def same(found, wanted, what="text"):
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, not {wanted!r}")


# OpenAI


def openai_chat(gw):
    answer = openai_client(gw).chat.completions.create(model="gpt-5.5", messages=MESSAGES, extra_headers=HEADERS)
    same(answer.choices[0].message.content, TEXT)
    return [dict(api="openai_chat", output=answer.usage.completion_tokens, input=answer.usage.prompt_tokens)]


def openai_chat_stream(gw):
    stream = openai_client(gw).chat.completions.create(
        model="gpt-5.5", messages=MESSAGES, stream=True, extra_headers=HEADERS
    )
    chunks = list(stream)
    same("".join(chunk.choices[0].delta.content or "" for chunk in chunks), TEXT)
    same([chunk.usage for chunk in chunks if chunk.usage], [], "usage that nobody asked for")
    return [dict(api="openai_chat")]


def openai_chat_stream_with_usage(gw):
    stream = openai_client(gw).chat.completions.create(
        model="gpt-5.5",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=HEADERS,
    )
    chunks = list(stream)
    same("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), TEXT)
    usage = chunks[-1].usage
    return [dict(api="openai_chat", input=usage.prompt_tokens, output=usage.completion_tokens)]


def openai_tool(gw):
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
    }
    marked = [{"role": "user", "content": 'MOCK_TOOL{"name":"look","input":{"at":"the gate"}}'}]
    answer = openai_client(gw).chat.completions.create(model="gpt-5.5", messages=marked, tools=[tool])
    call = answer.choices[0].message.tool_calls[0].function
    same((call.name, json.loads(call.arguments)), ("look", {"at": "the gate"}), "tool call")
    return [dict(api="openai_chat", tool_calls=1)]


def openai_responses(gw):
    answer = openai_client(gw).responses.create(model="gpt-5.5", input=ASKED, extra_headers=HEADERS)
    same(answer.output_text, TEXT)
    return [dict(api="openai_responses", input=answer.usage.input_tokens, output=answer.usage.output_tokens)]


def openai_responses_stream(gw):
    stream = openai_client(gw).responses.create(model="gpt-5.5", input=ASKED, stream=True, extra_headers=HEADERS)
    events = list(stream)
    same("".join(event.delta for event in events if event.type == "response.output_text.delta"), TEXT)
    same(events[-1].type, "response.completed", "last event")
    usage = events[-1].response.usage
    return [dict(api="openai_responses", input=usage.input_tokens, output=usage.output_tokens)]


def openai_embeddings(gw):
    answer = openai_client(gw).embeddings.create(model="text-embedding-3-small", input=["one", ASKED])
    same(len(answer.data), 2, "vectors")
    return [dict(api="openai_embeddings", input=answer.usage.prompt_tokens)]


def openai_models(gw):
    openai_client(gw).models.list()
    return None


# Anthropic


def anthropic_messages(gw):
    answer = anthropic_client(gw).messages.create(
        model="claude-opus-4-8", max_tokens=1000, messages=MESSAGES, extra_headers=HEADERS
    )
    same(answer.content[0].text, TEXT)
    return [dict(api="anthropic_messages", input=answer.usage.input_tokens, output=answer.usage.output_tokens)]


def anthropic_stream(gw):
    with anthropic_client(gw).messages.stream(
        model="claude-opus-4-8", max_tokens=1000, messages=MESSAGES, extra_headers=HEADERS
    ) as stream:
        same("".join(stream.text_stream), TEXT)
        usage = stream.get_final_message().usage
    return [dict(api="anthropic_messages", input=usage.input_tokens, output=usage.output_tokens)]


def anthropic_count(gw):
    answer = anthropic_client(gw).messages.count_tokens(model="claude-opus-4-8", messages=MESSAGES)
    if answer.input_tokens < 1:
        raise AssertionError("counted nothing")
    return [dict(api="anthropic_count_tokens")]


def anthropic_models(gw):
    anthropic_client(gw).models.list()
    return None


# Google


def google_generate(gw):
    answer = google_client(gw).models.generate_content(model="gemini-3.8-flash", contents=ASKED)
    same(answer.text, TEXT)
    usage = answer.usage_metadata
    return [dict(api="gemini_generate_content", input=usage.prompt_token_count, output=usage.candidates_token_count)]


def google_stream(gw):
    chunks = list(google_client(gw).models.generate_content_stream(model="gemini-3.8-flash", contents=ASKED))
    same("".join(chunk.text or "" for chunk in chunks), TEXT)
    usage = chunks[-1].usage_metadata
    return [dict(api="gemini_generate_content", input=usage.prompt_token_count, output=usage.candidates_token_count)]


def google_count(gw):
    answer = google_client(gw).models.count_tokens(model="gemini-3.8-flash", contents=ASKED)
    if answer.total_tokens < 1:
        raise AssertionError("counted nothing")
    return [dict(api="gemini_count_tokens")]


def google_embed(gw):
    answer = google_client(gw).models.embed_content(model="gemini-embedding-001", contents=ASKED)
    same(len(answer.embeddings), 1, "vectors")
    return [dict(api="gemini_embed_content")]


def google_models(gw):
    list(google_client(gw).models.list())
    return None


MESSAGES = [{"role": "user", "content": ASKED}]
CASES = [
    openai_chat,
    openai_chat_stream,
    openai_chat_stream_with_usage,
    openai_tool,
    openai_responses,
    openai_responses_stream,
    openai_embeddings,
    openai_models,
    anthropic_messages,
    anthropic_stream,
    anthropic_count,
    anthropic_models,
    google_generate,
    google_stream,
    google_count,
    google_embed,
    google_models,
]
# Google's embedding answers state no usage.
SILENT = {"gemini_embed_content"}
FREE = {"anthropic_count_tokens", "gemini_count_tokens"}


def openai_client(gw):
    return openai.OpenAI(base_url=gw.url + "/v1", api_key=KEY, max_retries=0)


def anthropic_client(gw):
    return anthropic.Anthropic(base_url=gw.url, api_key=KEY, max_retries=0)


def google_client(gw):
    # Kept: a client that nobody holds closes its connections in the middle of a call.
    if gw.url not in clients:
        clients[gw.url] = genai.Client(
            api_key=KEY, http_options=types.HttpOptions(base_url=gw.url, headers=HEADERS)
        )
    return clients[gw.url]


def judge(record, served, wanted):
    """Compares a record with what the provider served and with what the library was told."""
    same(record["api"], wanted["api"], "api")
    same(record["status"], 200, "status")
    same(record["ended"], "complete", "ended")
    same(record["user"], "(loopback)", "user")
    same(record["provider"], "mock", "provider")
    same(record["model_asked"], served["model"], "model_asked")
    same(record["tool_calls"], wanted.get("tool_calls", 0), "tool_calls")
    if record["api"] in FREE:
        return
    if record["api"] in SILENT:
        same((record["usage_known"], record["input"]), ("unknown", None), "usage that the provider does not state")
        return
    same(record["usage_known"], "reported", "usage_known")
    same(record["input"], served["input_tokens"], "input")
    same(record["input"], wanted.get("input", record["input"]), "input, as the library shows it,")
    if "embed" not in record["api"]:
        same(record["output"], served["output_tokens"], "output")
        same(record["output"], wanted.get("output", record["output"]), "output, as the library shows it,")


def main():
    watch_ids()
    failed = 0
    with Gateway(sys.argv[1]) as gw:
        calls = []
        for case in CASES:
            try:
                seen.clear()
                wanted = case(gw)
                if wanted is None:
                    print(f"ok   {case.__name__}")
                    continue
                same(len(seen), len(wanted), "number of calls")
                calls += [(case.__name__, wanted, request_id) for wanted, request_id in zip(wanted, seen)]
            except Exception:
                failed += 1
                print(f"FAIL {case.__name__}\n{traceback.format_exc()}")
        records = {record["request_id"]: record for record in gw.records(len(calls))}
        served = gw.served()
        same(len(served), len(calls), "number of requests at the provider")
        for (name, wanted, request_id), entry in zip(calls, served):
            try:
                judge(records[request_id], entry, wanted)
                print(f"ok   {name}")
            except Exception:
                failed += 1
                print(f"FAIL {name}: the record of {request_id}\n{traceback.format_exc()}")
    print(f"{len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
