import TestSupport
import Testing

/// What a request that cannot be read does to those around it on its connection.
@Suite struct PipeliningTests {
    private static let to = "Host: h\r\nOpenSandbox-Ingress-To: s-80\r\n"

    /// Everything that comes back, and everything that the sandbox got.
    private func exchange(_ text: String) async throws -> (answers: String, received: String) {
        let backend = try await ScriptedBackend.answering("ok")
        let directory = TestDirectory()
        directory.set("s", at: backend.address)
        let answers = try await withGateway(directory) { try await RawClient($0).exchange(text) }
        await backend.close()
        return (answers, backend.received)
    }

    private func statuses(_ answers: String) -> [Substring] {
        answers.split(separator: "HTTP/1.1 ").map { $0.prefix(3) }.filter { Int($0) != nil }
    }

    @Test(arguments: [
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "POST /late HTTP/1.1\r\n\(to)Transfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
    ])
    func `what was asked in front of a malformed request is answered first`(malformed: String) async throws {
        let (answers, received) = try await exchange(
            "GET /1 HTTP/1.1\r\n\(Self.to)\r\nGET /2 HTTP/1.1\r\n\(Self.to)\r\n" + malformed
                + "GET /behind HTTP/1.1\r\n\(Self.to)\r\n")
        #expect(statuses(answers) == ["200", "200", "400"])
        #expect(received.contains("GET /1 ") && received.contains("GET /2 "))
        #expect(!received.contains("/late") && !received.contains("/behind"))
    }

    @Test func `a malformed body behind a refusal gets no answer of its own`() async throws {
        let (answers, received) = try await exchange(
            "POST / HTTP/1.1\r\nHost: h\r\nOpenSandbox-Ingress-To: nobody-80\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "1;x\r\na\r\n0\r\n\r\nGET /behind HTTP/1.1\r\n\(Self.to)\r\n")
        #expect(statuses(answers) == ["404"])
        #expect(received.isEmpty)
    }
}
