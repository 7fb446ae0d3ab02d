"""A server of HTTP/2 by prior knowledge and of nothing else: says what was asked, and ends every call of gRPC well."""

import socket
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

EMPTY_MESSAGE = b"\0" * 5


class HTTP2Server:
    def __init__(self, listener):
        self.listener = listener
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        requests = {}
        with client:
            try:
                connection.initiate_connection()
                client.sendall(connection.data_to_send())
                while data := client.recv(65536):
                    for event in connection.receive_data(data):
                        if isinstance(event, h2.events.RequestReceived):
                            requests[event.stream_id] = dict(event.headers)
                        elif isinstance(event, h2.events.StreamEnded):
                            self._answer(connection, event.stream_id, requests.pop(event.stream_id))
                    client.sendall(connection.data_to_send())
            except (h2.exceptions.ProtocolError, OSError):
                pass  # What is no HTTP/2 gets no answer.

    @staticmethod
    def _answer(connection, stream, request):
        request = {name.decode(): value.decode() for name, value in request.items()} if isinstance(
            next(iter(request)), bytes) else request
        if request.get("content-type", "").startswith("application/grpc"):
            connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
            connection.send_data(stream, EMPTY_MESSAGE)
            connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        else:
            text = f"{request[':method']} {request[':path']} by HTTP/2".encode()
            connection.send_headers(stream, [(":status", "200"), ("content-length", str(len(text)))])
            connection.send_data(stream, text, end_stream=True)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
