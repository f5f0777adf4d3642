from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.functions.builtin.hashing import MAX_ROUNDS, sha256


def test_the_published_examples_come_out() -> None:
    # FIPS 180-2, appendix B, and the empty message
    assert sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@examples(30)
@given(data=st.binary(max_size=200), rounds=st.integers(1, 20))
def test_every_further_round_hashes_the_digest_before(data: bytes, rounds: int) -> None:
    digest = hashlib.sha256(data)
    for _ in range(rounds - 1):
        digest = hashlib.sha256(digest.digest())
    assert sha256(data, rounds) == digest.hexdigest()


def test_text_is_hashed_as_utf_8() -> None:
    assert sha256("Grüße, 世界") == sha256("Grüße, 世界".encode())


@pytest.mark.parametrize("rounds", [0, -1, MAX_ROUNDS + 1, 10**5000, True], ids=["0", "-1", "above", "long", "True"])
def test_rounds_out_of_range_are_refused_before_any_work(rounds: int) -> None:
    with pytest.raises(ValueError, match=r"^rounds must be "):
        sha256(b"abc", rounds)


def test_text_without_utf_8_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        sha256("\ud800")
