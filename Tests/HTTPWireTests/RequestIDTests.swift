import HTTPWire
import NIOHTTP1
import Testing

@Suite struct RequestIDTests {
    @Test(arguments: [("abc", "abc"), ("  abc", "abc"), ("a b", nil), ("a\u{7f}", nil), ("", nil)])
    func `a request's own id is kept where it is a word`(_ given: String, _ kept: String?) {
        let id = RequestID.of([RequestID.header: given])
        #expect(kept == nil ? id.count == 32 && id != given : id == kept)
    }

    @Test func `an id that is too long is replaced`() {
        let given = String(repeating: "x", count: 129)
        #expect(RequestID.of([RequestID.header: given]).count == 32)
        #expect(RequestID.of([RequestID.header: String(given.dropLast())]).count == 128)
    }

    @Test func `new ones are 32 digits and differ, also between threads, and a client's own is kept`() {
        var ids = RequestIDs(), others = RequestIDs()
        let made = (0..<1000).flatMap { _ in [ids.of([:]), others.of([:]), RequestID.of([:])] }
        #expect(Set(made).count == made.count)
        #expect(made.allSatisfy { $0.utf8.count == 32 && $0.allSatisfy { $0.isHexDigit && !$0.isUppercase } })
        #expect(ids.of([RequestID.header: "mine"]) == "mine")
        #expect(ids.of([RequestID.header: "not mine"]).utf8.count == 32)
    }
}
