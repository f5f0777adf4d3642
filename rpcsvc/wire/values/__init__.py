"""Exact Python values as JSON bytes: what goes in comes out with its type, or there is a clear error.

JSON values stand for themselves. What JSON lacks is an object with one member whose name begins with "$":

    {"$int": "0x1fff…"}              an int outside -2^63 .. 2^64 - 1 (inside, the digits stand bare)
    {"$float": "nan"}                nan, inf, -inf (a nan's sign and payload are not carried)
    {"$complex": [re, im]}           each a number or a {"$float": …}
    {"$decimal": "1.50"}             decimal.Decimal, every form of it
    {"$bytes": "…"}, {"$bytearray"}  base64 with padding, or {"raw": [offset, length]} of the raw section
    {"$tuple": [..]}, {"$set": [..]}, {"$frozenset": [..]}
    {"$dict": [[key, value], ..]}    a dict with a key that is no str, or that begins with "$"
    {"$uuid": "…"}, {"$date": "…"}   the usual text
    {"$timedelta": [d, s, us]}       whole days, seconds, microseconds
    {"$datetime": "…"}, {"$time"}    ISO 8601; or {"at": "…"} with "zone" (IANA key), "fold" (1), "name" (of an offset),
                                     "offset" ([d, s, us], one that is no whole number of seconds)
    {"$ndarray": {"dtype": "<f8", "shape": [2, 3], "data": "…"}}  the items in C order, as "$bytes" holds them

An object with several members is an ordinary dict whatever their names; of members with one name the last one counts.
Not carried: identity (a list that occurs twice comes back as two lists) and the memory order of an array.

    value --to_jsonable--> tree --orjson--> bytes --orjson--> tree --revive--> value
                                            big bare integers from elsewhere are put into "$int" form first

`encode_parts` gives large binary data apart from the text; in a body it is the raw section, behind the text and one NUL
byte (see `section`). `encode` writes base64 whatever the size. `decode` takes both.

Nothing here is executed or imported on behalf of the bytes, but numpy for an array.
"""

from .decoding import decode
from .encoding import TYPES, encode, encode_parts, encode_plain, to_jsonable
from .limits import MAX_DECIMAL_DIGITS, MAX_NESTING
from .section import Encoded

__all__ = [
    "MAX_DECIMAL_DIGITS",
    "MAX_NESTING",
    "TYPES",
    "Encoded",
    "decode",
    "encode",
    "encode_parts",
    "encode_plain",
    "to_jsonable",
]
