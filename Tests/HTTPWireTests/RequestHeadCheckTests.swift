import NIOHTTP1
import Testing

@testable import HTTPWire

private func head(
    _ target: String, _ headers: HTTPHeaders = ["host": "h"], _ method: HTTPMethod = .GET
) -> HTTPRequestHead {
    HTTPRequestHead(version: .http1_1, method: method, uri: target, headers: headers)
}

@Suite struct RequestHeadCheckTests {
    private let check = RequestHeadCheck()

    private func refusal(_ head: HTTPRequestHead) -> HTTPMessageError? {
        var head = head
        do throws(HTTPMessageError) {
            try check.check(&head)
            return nil
        } catch { return error }
    }

    @Test(
        arguments: [
            ["host": "example.com"], ["host": "example.com:8080"], ["host": "[::1]:80"], ["host": "a_b.c-d"],
            ["host": "h", "content-length": "0"], ["host": "h", "transfer-encoding": "Chunked"],
            ["host": "h", "connection": "keep-alive, x-a"], ["host": "h", "x": "a\tb \u{e9}"],
        ] as [HTTPHeaders])
    func `an ordinary head passes`(headers: HTTPHeaders) {
        #expect(refusal(head("/", headers, .POST)) == nil)
    }

    @Test(
        arguments: [
            [:], ["host": ""], ["host": "a", "Host": "a"], ["host": "a b"], ["host": "a,b"], ["host": "u@h"],
            ["host": "h/x"], ["host": "h:80:80"], ["host": "h:http"], ["host": "[::1"], ["host": "h:123456"],
            ["host": "h", "content-length": "1", "transfer-encoding": "chunked"],
            ["host": "h", "content-length": "1", "Content-Length": "1"], ["host": "h", "content-length": "1, 1"],
            ["host": "h", "content-length": "+1"], ["host": "h", "content-length": "-1"],
            ["host": "h", "content-length": "0x1"], ["host": "h", "content-length": ""],
            ["host": "h", "content-length": "1 "], ["host": "h", "content-length": "9999999999999999999"],
            ["host": "h", "transfer-encoding": "gzip, chunked"],
            ["host": "h", "transfer-encoding": "chunked, chunked"],
            ["host": "h", "transfer-encoding": "identity"], ["host": "h", "transfer-encoding": "xchunked"],
            ["host": "h", "transfer-encoding": "chunked", "Transfer-Encoding": "chunked"],
            ["host": "h", "transfer-encoding": "\u{0b}chunked"], ["host": "h", "connection": "close, Content-Length"],
            ["host": "h", "connection": "host"], ["host": "h", "x": "a\u{0}b"], ["host": "h", "x": "a\r\nb: c"],
            ["host": "h", "x y": "z"], ["host": "h", "x\u{0}": "z"], ["host": "h", "": "z"],
        ] as [HTTPHeaders])
    func `an ambiguous head is refused and the connection ends`(headers: HTTPHeaders) {
        let refusal = refusal(head("/", headers, .POST))
        #expect(refusal?.status == .badRequest)
    }

    @Test(arguments: [
        "", "x", "/ ", "/a b", "/\u{0}", "/\u{7f}", "/\u{e9}", "/#x", "*", "h:80", "ftp://h/", "http://other/",
        "http://h@x/", "http:/h/",
    ])
    func `a target that is not a path of this host is refused`(target: String) {
        #expect(refusal(head(target))?.status == .badRequest)
    }

    @Test(arguments: [
        ("http://H/a?b", "/a?b"), ("https://h", "/"), ("http://h?x", "/?x"), ("/..//%00", "/..//%00"),
    ])
    func `an absolute target becomes a path and a path stays as it is`(target: String, expected: String) throws {
        var request = head(target)
        try check.check(&request)
        #expect(request.uri == expected)
    }

    @Test func `CONNECT, other versions and large heads are refused`() {
        #expect(refusal(head("h:80", ["host": "h"], .CONNECT))?.status == .badRequest)
        var old = head("/")
        old.version = .http0_9
        #expect(refusal(old)?.status == .httpVersionNotSupported)
        old.version = .http1_0
        old.headers = [:]
        #expect(refusal(old) == nil)
        #expect(
            refusal(head("/", ["host": "h", "x": String(repeating: "y", count: 40_000)]))?.status
                == .requestHeaderFieldsTooLarge)
        var many: HTTPHeaders = ["host": "h"]
        for number in 0..<200 { many.add(name: "x\(number)", value: "") }
        #expect(refusal(head("/", many))?.status == .requestHeaderFieldsTooLarge)
    }
}
