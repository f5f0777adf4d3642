"""The built-in functions: what `rpcsvc serve` offers when it is given no registry of its own.

Rules of this package:

- Every function is pure in the sense of RPC: the same call may run twice and do no harm, so all are idempotent.
- A bad value is refused with ValueError in the first lines, before any work, by a sentence that names the parameter.
- Every function has a limit, and its docstring says what a call at the limit costs.
- The modules know nothing of the registry; only this file does.
- gmpy2 makes some of them faster and never changes a result. It is loaded here where it is installed, so that the
  fork server has it before it makes workers.
"""

from __future__ import annotations

from ..registration import Registry
from ._gmp import gmp
from .fibonacci import fib
from .hashing import sha256
from .montecarlo import monte_carlo_pi
from .plain import echo, sleep
from .primes import factorize, is_prime

__all__ = ["echo", "factorize", "fib", "is_prime", "monte_carlo_pi", "registry", "sha256", "sleep"]

registry = Registry(default="fib")
"""The built-in functions by their own names; a bare request body calls `fib`."""

for _function in (fib, is_prime, factorize, sha256, monte_carlo_pi, echo, sleep):
    registry.function(_function)
del _function

gmp()
