import HTTPClient
import JSON
import SafeText
import Testing

@testable import Client

@Suite struct ServerLocationTests {
    private func location(
        _ server: String? = nil, key: String? = nil, _ environment: [String: String] = [:], own: String? = nil
    ) throws -> ServerLocation {
        try ServerLocation(server: server, key: key, environment: environment, usual: "127.0.0.1:8080") { own }
    }

    @Test func `the command line goes before the environment, and that before what is usual`() throws {
        let variables = ["OPEN_SANDBOX_DOMAIN": "there.example:1", "OPEN_SANDBOX_API_KEY": "theirs"]
        #expect(try location().origin.authority == "127.0.0.1:8080")
        #expect(try location(nil, variables).origin.authority == "there.example:1")
        #expect(try location("https://here.example", variables).origin.isSecure)
        #expect(try location(key: "mine", variables).key == "mine" && location(nil, variables).key == "theirs")
    }

    @Test func `the server's own key is sent to its own address and port alone`() throws {
        #expect(try location(own: "root").key == "root" && location("http://127.0.0.1:8080", own: "root").key == "root")
        let named = try location("localhost:8080", own: "root")
        #expect(named.key == "root" && named.origin.host == "127.0.0.1", "a name may lead elsewhere")
        for other in [
            "other.example:8080", "127.0.0.1:9999", "[::1]:8080", "https://127.0.0.1:8080", "127.0.0.1.example:8080",
            "localhost:9999",
        ] {
            #expect(try location(other, own: "root").key == nil, "\(other)")
        }
        let remote = try ServerLocation(server: nil, key: nil, environment: [:], usual: "192.0.2.1:8080") { "root" }
        #expect(remote.key == nil, "it may be another machine's by now")
    }

    @Test(arguments: ["ftp://x", "http://", "http://user:secret@x", "x y", "http://x:99999"])
    func `what is no server is refused`(_ text: String) {
        #expect(throws: ClientFailure.self) { try location(text) }
    }

    @Test func `a key that is no header is refused without being said`() {
        let error = #expect(throws: ClientFailure.self) { try location(key: "a\r\nHost: secret") }
        #expect(error?.kind == .usage && error?.reason.contains("secret") == false)
    }
}

@Suite struct CreateBodyTests {
    @Test func `words become the request`() throws {
        var body = CreateBody(.image("base"), seconds: 600)
        body.run([])
        try body.limit(cpu: "500m", memory: nil, disk: nil)
        try body.set("env", pairs: ["A=1", "B=x=y", "C="], option: "--env")
        body.guarded(by: RuleWords.policy(allow: ["pypi.org:443"], deny: ["*"]))
        let text = String(decoding: body.json.encoded, as: UTF8.self)
        #expect(
            text
                == #"{"image":{"uri":"base"},"timeout":600,"entrypoint":["tail","-f","/dev/null"],"#
                + #""resourceLimits":{"cpu":"500m","memory":"2Gi"},"env":{"A":"1","B":"x=y","C":""},"#
                + #""networkPolicy":{"defaultAction":"deny","egress":[{"action":"deny","target":"*"},{"action":"allow","target":"pypi.org:443"}]}}"#
        )
    }

    @Test func `a sandbox of a pool has its pool's limits`() throws {
        var body = CreateBody(.pool("warm"), seconds: nil)
        try body.limit(cpu: nil, memory: nil, disk: nil)
        #expect(String(decoding: body.json.encoded, as: UTF8.self) == #"{"extensions":{"poolRef":"warm"}}"#)
        #expect(throws: ClientFailure.self) { try body.limit(cpu: "1", memory: nil, disk: nil) }
    }

    @Test func `a pair without a name is refused, and its value not repeated`() {
        var body = CreateBody(.image("base"), seconds: nil)
        for pair in ["novalue", "=secret", ""] {
            let error = #expect(throws: ClientFailure.self) { try body.set("env", pairs: [pair], option: "--env") }
            #expect(error?.reason.contains("secret") == false)
        }
    }

    @Test func `nobody's rules are no policy`() { #expect(RuleWords.policy(allow: [], deny: []) == nil) }
}

@Suite struct CopyPlaceTests {
    @Test func `a path with an id in front is in a sandbox`() throws {
        #expect(try CopyPlace("abc:/tmp/x:y") == .sandbox("abc", path: "/tmp/x:y"))
        #expect(try CopyPlace("./a:b") == .here("./a:b") && CopyPlace("-") == .here("-"))
    }

    @Test(arguments: ["abc:", "abc:relative", ":/x"]) func `a half of one is refused`(_ text: String) {
        #expect(throws: ClientFailure.self) { try CopyPlace(text) }
    }

    @Test func `a form has the path, the mode as its digits, and the boundary at its end`() throws {
        let form = UploadForm(path: "/a \"b\"\r\n", mode: 0o755, boundary: "edge")
        let head = String(decoding: form.head, as: UTF8.self)
        #expect(head.hasPrefix("--edge\r\n") && head.contains(#"{"path":"/a \"b\"\r\n","mode":755}"#))
        #expect(form.tail == Array("\r\n--edge--\r\n".utf8) && form.contentType.hasSuffix("boundary=edge"))
    }
}

@Suite struct SandboxListingTests {
    @Test(arguments: [
        (0, "0s"), (-5, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d"),
        (Int64.max, "106751991167300d"),
    ])
    func `spans are said in one unit`(_ seconds: Int64, _ text: String) { #expect(Span.text(seconds) == text) }

    @Test func `a list shows what there is of each, whatever a server leaves out`() {
        let full = JSONValue.object([
            "id": .string("a"), "status": .object(["state": .string("Running")]),
            "image": .object(["uri": .string("base")]),
            "createdAt": .string("10"), "expiresAt": .string("500"), "metadata": .object(["team": .string("red")]),
        ])
        let listing = SandboxListing([full, .object(["id": .string("b")]), .null]) { Int64($0) }
        let lines = listing.table(now: 100).text.split(separator: "\n").map { $0.split(separator: " ") }
        #expect(lines[1] == ["a", "Running", "base", "90s", "6m", "team=red"])
        #expect(lines[2].first == "b" && lines.count == 4 && listing.ids == ["a", "b", ""])
    }
}

@Suite struct ClientFailureTests {
    @Test(arguments: [
        (401, ClientFailure.Kind.forbidden), (403, .forbidden), (404, .notFound), (409, .refused), (500, .refused),
    ])
    func `each kind of refusal has an exit status of its own`(_ status: Int, _ kind: ClientFailure.Kind) {
        let failure = ClientFailure(status: status, body: Array(#"{"code":"X::Y","message":"because"}"#.utf8))
        #expect(failure.kind == kind && failure.reason.hasPrefix("because (X::Y)"))
    }

    @Test func `an answer of another kind is told in one line`() {
        #expect(ClientFailure(status: 400, body: Array("bad\nrule".utf8)).reason == "bad rule")
        #expect(ClientFailure(status: 500, body: [0xff, 0xfe]).reason == "the server answered with status 500")
    }
}
