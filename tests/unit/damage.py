"""Bytes that were in order once: the messages that get furthest into a parser before it sees that they are wrong."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, bodies: st.SearchStrategy[bytes], *, most: int = 3) -> bytes:
    """A body of these with up to `most` places changed, put in, taken out, doubled, or cut off."""
    body = draw(bodies)
    for _ in range(draw(st.integers(0, most))):
        start, length = draw(st.integers(0, len(body))), draw(st.integers(0, 12))
        end = start + length
        match draw(st.integers(0, 4)):
            case 0:
                body = body[:start] + draw(st.binary(min_size=length, max_size=length)) + body[end:]
            case 1:
                body = body[:start] + draw(_PIECES) + body[start:]
            case 2:
                body = body[:start] + body[end:]
            case 3:
                body = body[:end] + body[start:]
            case _:
                body = body[:start]
    return body


_PIECES = st.binary(max_size=4) | st.sampled_from(
    [
        *(
            b"[" * 110,
            b'{"a":' * 110,
            b'{"$tuple":[' * 110,
            b"9" * 20,
            b"-" + b"9" * 400,
            b"1" * 4301,
            b"1e999",
            b"1e-999",
        ),
        *(
            b"NaN",
            b"-Infinity",
            b'"\\ud800"',
            b"\xff\xfe",
            b"\0",
            b"\xef\xbb\xbf",
            b',"id":1',
            b',"id":null,"method":"f"',
        ),
        *(
            b'{"$int":"0x',
            b'{"$bytes":{"raw":[0,9]}}',
            b'{"$set":[1,1]}',
            b'{"$float":"nan"}',
            b'"raw":true,',
            b"null",
            b"{}",
        ),
    ]
)
