import Foundation
import Synchronization
import TestSupport
import Testing

@testable import HTTPClient

/// Answers that are read while they arrive, and bodies that are sent while they are made.
@Suite struct StreamTests {
    private let client = HTTPClient()

    private func text(_ line: [UInt8]?) -> String? { line.map { String(decoding: $0, as: UTF8.self) } }

    @Test func `a watch is read line by line while it goes on, and has an end`() async throws {
        let steps = Atomic(0)
        let server = ScriptedServer { connection in
            _ = connection.read()
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n5\r\ntwo\nt\r\n")
            // The rest only after the first two were read.
            while steps.load(ordering: .relaxed) < 2 { usleep(1000) }
            connection.write("7\r\nhree\n\nx\r\n0\r\n\r\n")
            connection.awaitEnd()
        }
        defer { server.stop() }
        let stream = try await client.stream(ClientRequest("GET", "/watch"), to: server.peer)
        var lines = stream.lines
        for expected in ["one", "two"] {
            #expect(text(try await lines.next()) == expected)
            steps.add(1, ordering: .relaxed)
        }
        for expected in ["three", "", "x", nil, nil] { #expect(text(try await lines.next()) == expected) }
    }

    @Test func `a watch that breaks off is told from one that ends, and a line has a limit`() async throws {
        let server = ScriptedServer { connection in
            _ = connection.read()
            connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        }
        defer { server.stop() }
        var lines = try await client.stream(ClientRequest("GET", "/"), to: server.peer).lines
        #expect(text(try await lines.next()) == "one")
        await #expect(throws: HTTPClientError.self) { try await lines.next() }
        var peer = server.peer
        peer.limits.line = 2
        var short = try await client.stream(ClientRequest("GET", "/"), to: peer).lines
        await #expect(throws: HTTPClientError.tooLarge(.line)) { try await short.next() }
    }

    @Test func `a server waits for a reader that is slow, and nothing is lost`() async throws {
        let sent = Atomic(0)
        let total = 24 << 20
        let server = ScriptedServer { connection in
            _ = connection.read()
            connection.write("HTTP/1.1 200 OK\r\nContent-Length: \(total)\r\n\r\n")
            let part = [UInt8](repeating: 97, count: 1 << 16)
            while sent.load(ordering: .relaxed) < total, connection.write(part) {
                sent.add(part.count, ordering: .relaxed)
            }
        }
        defer { server.stop() }
        let stream = try await client.stream(ClientRequest("GET", "/"), to: server.peer)
        // It stops when the sockets and the client's own room are full.
        var before = -1
        #expect(
            try await eventually {
                let now = sent.load(ordering: .relaxed)
                defer { before = now }
                return now > 0 && now == before
            })
        #expect(sent.load(ordering: .relaxed) < total / 2)
        var received = 0
        while let chunk = try await stream.body.next() { received += chunk.count }
        #expect(received == total)
    }

    @Test(arguments: [nil, 26])
    func `a body is sent while it is made, with its length or in chunks`(length: Int?) async throws {
        let server = ScriptedServer { connection in
            guard var text = connection.read() else { return }
            var bytes = [UInt8](repeating: 0, count: 4096)
            while length == nil, !text.hasSuffix("\r\n0\r\n\r\n") {
                let count = recv(connection.descriptor, &bytes, bytes.count, 0)
                guard count > 0 else { return }
                text += String(decoding: bytes[..<count], as: UTF8.self)
            }
            connection.answer(text)
        }
        defer { server.stop() }
        let letters = Mutex(Array("abcdefghijklmnopqrstuvwxyz".utf8)[...])
        let request = ClientRequest(
            "PUT", "/",
            body: .stream(length: length) { letters.withLock { letters in letters.popFirst().map { [$0] } } })
        let heard = try await client.send(request, to: server.peer).text
        let parts = heard.components(separatedBy: "\r\n\r\n")
        #expect(parts[0].contains(length == nil ? "Transfer-Encoding: chunked" : "Content-Length: 26"))
        let sent = "abcdefghijklmnopqrstuvwxyz"
        let body = length == nil ? sent.map { "1\r\n\($0)\r\n" }.joined() + "0" : sent
        #expect(parts[1] == body)
    }

    @Test func `a body that breaks off makes no whole request`() async throws {
        struct Broken: Error {}
        let heard = Mutex("")
        let server = ScriptedServer { connection in
            let head = connection.read() ?? ""
            var bytes = [UInt8](repeating: 0, count: 4096)
            var text = head
            while case let count = recv(connection.descriptor, &bytes, bytes.count, 0), count > 0 {
                text += String(decoding: bytes[..<count], as: UTF8.self)
            }
            heard.withLock { $0 = text }
        }
        defer { server.stop() }
        let isFirst = Atomic(true)
        let request = ClientRequest(
            "POST", "/",
            body: .stream(length: nil) {
                guard isFirst.exchange(false, ordering: .relaxed) else { throw Broken() }
                return [97]
            })
        await #expect(throws: HTTPClientError.unfinishedRequest) { try await client.send(request, to: server.peer) }
        #expect(try await eventually { heard.withLock { $0.contains("chunked") } })
        #expect(!heard.withLock { $0 }.contains("\r\n0\r\n"))
    }
}
