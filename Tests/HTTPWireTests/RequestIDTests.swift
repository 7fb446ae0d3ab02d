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
}
