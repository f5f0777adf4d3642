"""Calls fib(30), or of another number: python rpc_client.py 100."""

import ast
import sys

from rpcsvc import FunctionRaised, InvalidParams, NoServer, RpcClient, RpcTimeout

n = ast.literal_eval(sys.argv[1]) if len(sys.argv) > 1 else 30
with RpcClient() as client:
    print(f" [x] Requesting fib({n!r})")
    try:
        print(f" [.] Got {client.call('fib', n, timeout=5.0)}")
    except NoServer as error:
        sys.exit(f" [!] no server: {error}")
    except RpcTimeout as error:  # and the pool stops computing
        sys.exit(f" [!] no reply in time: {error}")
    except FunctionRaised as error:
        sys.exit(f" [!] an exception: {error}")
    except InvalidParams as error:  # nothing was computed
        sys.exit(f" [!] invalid input: {error}")
