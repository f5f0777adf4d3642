from __future__ import annotations

import subprocess
import sys

import pytest

from rpcsvc.functions.builtin._gmp import gmp


def test_gmpy2_is_used_where_it_is_installed() -> None:
    assert gmp() is pytest.importorskip("gmpy2")


@pytest.mark.usefixtures("without_gmpy2")
def test_a_missing_gmpy2_is_no_error() -> None:
    assert gmp() is None


def test_importing_the_functions_loads_gmpy2_so_that_forked_workers_have_it() -> None:
    program = "import sys; from rpcsvc.functions import registry; print('gmpy2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
