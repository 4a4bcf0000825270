"""What a chaos upstream can do to a request: every fault by its name, with its parameters.

A fault writes its answer and returns whether the connection is kept. They come in groups: the
connection, the body, streams, statuses and contents; each says in its docstring what it takes.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import zlib

from tests.chaos_answers import (
    DONE,
    END,
    SSE,
    USAGE,
    Exchange,
    chunk,
    event,
    events,
    http,
    register,
    send_answer,
    send_stream,
    whole,
)

_healthy_bytes: dict[tuple[str, bool], bytes] = {}


@register
async def healthy(x: Exchange) -> bool:
    """A good answer; ``delay_s`` before it."""
    if delay := x.get("delay_s", 0.0):
        await asyncio.sleep(delay)
    key = (x.text, x.stream)
    data = _healthy_bytes.get(key)
    if data is None:
        if x.stream:
            data = SSE + b"".join(chunk(each) for each in events(x.text)) + END
        else:
            data = http(200, json.dumps(whole(x.text)).encode())
        _healthy_bytes[key] = data
    x.writer.write(data)
    return True


@register
async def growing(x: Exchange) -> bool:
    """Slower with every request: ``step_s`` times its number, at most ``most_s``."""
    await asyncio.sleep(min(x.get("step_s", 0.01) * x.number, x.get("most_s", 5.0)))
    return await healthy(x)


# the connection --------------------------------------------------------------------------------


@register
async def silence(x: Exchange) -> bool:
    """Take the request and say nothing."""
    return await x.hang()


@register
async def reset(x: Exchange) -> bool:
    """Reset before a byte of the answer."""
    return x.reset()


@register
async def close(x: Exchange) -> bool:
    """Close before a byte of the answer."""
    return False


@register
async def close_after(x: Exchange) -> bool:
    """A good answer on a connection that is then closed without a word (a keep-alive race)."""
    await healthy(x)
    await x.writer.drain()
    return False


@register
async def headers_silence(x: Exchange) -> bool:
    """The head of an answer, then nothing."""
    await x.write(SSE if x.stream else http(200, b"{}" * 50)[:-100])
    return await x.hang()


@register
async def half_close(x: Exchange) -> bool:
    """Half of an answer, then no more is sent, though the connection stays open."""
    await x.write(_half(x))
    x.writer.write_eof()
    return await x.hang()


@register
async def garbage(x: Exchange) -> bool:
    """Bytes that are not HTTP."""
    await x.write(b"\x16\x03\x01\x00\xffnot http\r\n\r\n")
    return False


def _half(x: Exchange) -> bytes:
    if x.stream:
        return SSE + b"".join(chunk(each) for each in events(x.text)[: x.get("tokens", 3)])
    data = http(200, json.dumps(whole(x.text)).encode())
    return data[: x.get("at", len(data) - 40)]


# the body --------------------------------------------------------------------------------------


@register
async def drip(x: Exchange) -> bool:
    """One byte every ``interval_s``."""
    data = _half(x) if x.get("cut", False) else None
    if data is None:
        made = b"".join(chunk(each) for each in events(x.text)) + END
        data = SSE + made if x.stream else http(200, json.dumps(whole(x.text)).encode())
    head, _, body = data.partition(b"\r\n\r\n")
    await x.write(head + b"\r\n\r\n")
    for byte in body:
        await x.write(bytes([byte]))
        await asyncio.sleep(x.get("interval_s", 0.05))
    return True


@register
async def reset_midway(x: Exchange) -> bool:
    """Half of an answer, then a reset; ``at`` byte, or after ``tokens``."""
    await x.write(_half(x))
    await asyncio.sleep(x.get("pause_s", 0.02))  # a reset throws away what was not yet read
    return x.reset()


@register
async def short(x: Exchange) -> bool:
    """Close before Content-Length is reached (or the last chunk of a stream is sent)."""
    await x.write(_half(x))
    return False


@register
async def lying_length(x: Exchange) -> bool:
    """Content-Length says ``by`` bytes more (or, negative, less) than there are."""
    body = json.dumps(whole(x.text)).encode()
    size = len(body) + x.get("by", 100)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    await x.write(head.encode() + body)
    return False


@register
async def lying_chunks(x: Exchange) -> bool:
    """A chunk that says another size than it has."""
    data = json.dumps(whole(x.text)).encode()
    kind = b"text/event-stream" if x.stream else b"application/json"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    await x.write(head + b"%x\r\n%s\r\n" % (len(data) - 7, data) + END)
    return False


@functools.cache
def _bomb(size: int) -> bytes:
    return gzip.compress(bytes(size), 1)


@register
async def gzip_bomb(x: Exchange) -> bool:
    """A compressed answer of ``size`` bytes, though none was asked for."""
    data = _bomb(x.get("size", 20_000_000))
    await x.write(http(200, data, ["content-encoding: gzip"]))
    return False


@register
async def deflated(x: Exchange) -> bool:
    """A good answer, compressed though none was asked for."""
    data = zlib.compress(json.dumps(whole(x.text)).encode())
    await x.write(http(200, data, ["content-encoding: deflate"]))
    return True


@register
async def huge_body(x: Exchange) -> bool:
    """``size`` bytes: announced, or (``chunked``) in chunks without end."""
    part = b"x" * 65_536
    if not x.get("chunked", True):
        size = x.get("size", 100_000_000)
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
        )
        await x.write(head.encode() + part)
        return await x.hang()
    kind = b"text/event-stream" if x.stream else b"application/json"
    await x.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    for _ in range(x.get("size", 100_000_000) // len(part)):
        await x.write(chunk(part))
    return False


@register
async def huge_headers(x: Exchange) -> bool:
    """One header of ``size`` bytes, or ``number`` of them."""
    lines = [f"x-{i}: {'y' * x.get('size', 100_000)}" for i in range(x.get("number", 1))]
    await x.write(http(200, json.dumps(whole(x.text)).encode(), lines))
    return False


@register
async def raw(x: Exchange) -> bool:
    """``data`` as it is, as the body of a 200 (or of ``status``) of type ``kind``."""
    data = x.get("data", "")
    body = bytes.fromhex(x.get("hex", "")) or data.encode("utf-8", "surrogateescape")
    await x.write(http(x.get("status", 200), body, x.get("headers", ()),
                       x.get("kind", "application/json")))  # fmt: skip
    return True


# streams ---------------------------------------------------------------------------------------


@register
async def cut(x: Exchange) -> bool:
    """A stream that ends after ``tokens`` events without [DONE]; ``clean``: with its last chunk."""
    if not x.stream:
        return await short(x)
    await send_stream(x, events(x.text)[: x.get("tokens", 3)], end=x.get("clean", True))
    return False


@register
async def stall(x: Exchange) -> bool:
    """A stream that says nothing more after ``tokens`` events."""
    await x.write(_half(x))
    return await x.hang()


@register
async def bad_line(x: Exchange) -> bool:
    """``number`` malformed lines (``line``) inside a good stream, before event ``at``."""
    if not x.stream:
        return await healthy(x)
    made = events(x.text)
    line = x.get("line", 'data: {"choices": [tru').encode() + b"\n\n"
    made[x.get("at", 2) : x.get("at", 2)] = [line] * x.get("number", 1)
    return await send_stream(x, made)


@register
async def split(x: Exchange) -> bool:
    """A good stream in parts of ``size`` bytes, with ``newline`` as line end, a BOM, comments and
    ids between the events."""
    if not x.stream:
        return await healthy(x)
    data = b"\xef\xbb\xbf" if x.get("bom", True) else b""
    for number, each in enumerate(events(x.text)):
        data += b": keep alive\n\n" if number == 1 else b""
        data += b"id: %d\nretry: 10\n" % number + each
    data = data.replace(b"\n", x.get("newline", "\n").encode())
    size = x.get("size", 1)
    await x.write(SSE)
    for at in range(0, len(data), size):
        await x.write(chunk(data[at : at + size]))
        if x.get("pause_s", 0.0):
            await asyncio.sleep(x.get("pause_s", 0.0))
    await x.write(END)
    return True


@register
async def bytes_of_stream(x: Exchange) -> bool:
    """``parts`` (texts, or hex after "hex:") as a stream, each in a chunk of its own."""
    await x.write(SSE)
    for part in x.get("parts", []):
        data = bytes.fromhex(part[4:]) if part.startswith("hex:") else part.encode()
        await x.write(chunk(data))
        await asyncio.sleep(x.get("pause_s", 0.0))
    if x.get("hang", False):
        return await x.hang()
    await x.write(END)
    return False


@register
async def tool_calls(x: Exchange) -> bool:
    """Deltas of tool calls, some twice and out of order, as ``deltas`` gives them."""
    made = [event({"tool_calls": [delta]}) for delta in x.get("deltas", [])]
    return await send_stream(x, [*made, event({}, "tool_calls"), event(None, usage=USAGE), DONE])


# statuses and contents -------------------------------------------------------------------------


@register
async def status(x: Exchange) -> bool:
    """An error of ``code`` with ``headers``, of ``word`` and ``message``; ``silent``: its head."""
    error = {"message": x.get("message", "vendor text"), "type": x.get("type", "server_error"),
             "code": x.get("word", None), "param": x.get("param", None)}  # fmt: skip
    data = http(x.get("code", 500), json.dumps({"error": error}).encode(), x.get("headers", ()))
    if x.get("silent", False):  # the head alone
        await x.write(data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        return await x.hang()
    await x.write(data)
    return True


@register
async def redirect(x: Exchange) -> bool:
    """A redirect of ``code`` to ``location``."""
    await x.write(http(x.get("code", 302), b"", [f"location: {x.get('location', '')}"]))
    return True


@register
async def error_in_200(x: Exchange) -> bool:
    """An error object under a 200; in a stream after ``tokens`` events, as ``event`` if named."""
    error = x.get("error", {"message": "vendor text", "code": x.get("word", "server_error")})
    data = json.dumps(x.get("content", {"error": error})).encode()
    if not x.stream:
        await x.write(http(200, data))
        return True
    name = f"event: {x.get('event', '')}\n".encode() if x.get("event", "") else b""
    made = events(x.text)[: x.get("tokens", 0)]
    return await send_stream(x, [*made, name + b"data: " + data + b"\n\n", DONE])


@register
async def usage(x: Exchange) -> bool:
    """A good answer with ``usage`` as given; None leaves it out."""
    told = x.get("usage", None)
    if x.stream:
        return await send_stream(x, events(x.text, told))
    content = whole(x.text)
    if told is None:
        del content["usage"]
    else:
        content["usage"] = told
    return await send_answer(x, content)


@register
async def message(x: Exchange) -> bool:
    """An answer with ``message`` and ``finish_reason`` as given; streamed as one delta."""
    told, reason = x.get("message", {}), x.get("finish_reason", "stop")
    if x.stream:
        return await send_stream(
            x, [event(told), event({}, reason), event(None, usage=USAGE), DONE]
        )
    choice = {"index": 0, "message": told, "finish_reason": reason}
    return await send_answer(x, whole(x.text, choices=[choice]))


@register
async def refusal(x: Exchange) -> bool:
    """A refusal under a 200."""
    x.given = {"message": {"role": "assistant", "content": None, "refusal": "I cannot."}}
    return await message(x)


@register
async def wrong_model(x: Exchange) -> bool:
    """A good answer that names another model."""
    if x.stream:
        made = [e.replace(b'"model": "m"', b'"model": "another-9b"') for e in events(x.text)]
        return await send_stream(x, made)
    return await send_answer(x, whole(x.text, model="another-9b"))
