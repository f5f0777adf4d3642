"""Calls fib for several numbers at once, from asyncio: python rpc_client_async.py 30 31 32."""

import ast
import asyncio
import sys

from rpcsvc import AsyncRpcClient, FunctionRaised, InvalidParams, NoServer, RpcTimeout


async def ask(client: AsyncRpcClient, n: int) -> str:
    try:
        return f" [.] Got {await client.call('fib', n, timeout=5.0)} for fib({n})"
    except NoServer as error:
        return f" [!] no server: {error}"
    except RpcTimeout as error:
        return f" [!] no reply in time: {error}"
    except FunctionRaised as error:
        return f" [!] an exception: {error}"
    except InvalidParams as error:
        return f" [!] invalid input: {error}"


async def main(numbers: list[int]) -> None:
    print(f" [x] Requesting fib of {numbers}")
    async with AsyncRpcClient() as client:
        print(*await asyncio.gather(*(ask(client, n) for n in numbers)), sep="\n")


asyncio.run(main([ast.literal_eval(word) for word in sys.argv[1:]] or [30]))
