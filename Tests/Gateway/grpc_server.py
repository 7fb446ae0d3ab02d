"""A gRPC server of messages that are plain bytes, for a network namespace of the test's: `grpc_server.py HOST`; prints its port."""

import sys
import threading
from concurrent import futures

import grpc

ended = []


def unary(request, context):
    context.send_initial_metadata((("x-first", "1"), ("x-raw-bin", b"\0\xff")))
    context.set_trailing_metadata((("x-last", "2"),))
    seen = sorted(f"{name}={value}" for name, value in context.invocation_metadata() if name.startswith(("x-own", "opensandbox")))
    return request + b"|" + ";".join(seen).encode()


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now: 50% ü")


def count_up(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def add_up(requests, context):
    return str(sum(map(int, requests))).encode()


def echo(requests, context):
    for request in requests:
        yield request


def wait(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    yield b"waiting"
    over.wait(60)
    ended.append(request)


def fail_late(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.DATA_LOSS, "half way")


def serve(host):
    server = grpc.server(futures.ThreadPoolExecutor(64))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Plain", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary), "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "CountUp": grpc.unary_stream_rpc_method_handler(count_up), "AddUp": grpc.stream_unary_rpc_method_handler(add_up),
        "Echo": grpc.stream_stream_rpc_method_handler(echo), "Wait": grpc.unary_stream_rpc_method_handler(wait),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
        "Ended": grpc.unary_unary_rpc_method_handler(lambda request, context: b",".join(ended)),
    })])
    print(server.add_insecure_port(f"{host}:0"), flush=True)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(sys.argv[1])
