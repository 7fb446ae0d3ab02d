import Testing

@testable import JSON

private struct Sample: Decodable, Equatable {
    enum Kind: String, Decodable { case one, two }
    struct Part: Decodable, Equatable {
        var portNumber: UInt16
        var flag: Bool?
    }
    var name: String
    var kind: Kind?
    var parts: [Part]?
    var texts: [String: String?]?
    var ratio: Double?
    var user: UInt32?
}

private func decode(_ text: String, _ unknown: UnknownNames = .refusedWhereMisspelt) throws -> Sample {
    try JSONValue(text.utf8).decode(Sample.self, unknown: unknown)
}

@Suite struct DecodingTests {
    @Test func `a value becomes one of its type`() throws {
        let text =
            #"{"name":"n","kind":"two","parts":[{"portNumber":1},{"portNumber":65535,"flag":true}],"#
            + #""texts":{"a":"b","c":null},"ratio":3,"user":60.0}"#
        let parts = [Sample.Part(portNumber: 1), Sample.Part(portNumber: 65535, flag: true)]
        let sample = Sample(name: "n", kind: .two, parts: parts, texts: ["a": "b", "c": nil], ratio: 3, user: 60)
        #expect(try decode(text) == sample)
        #expect(try decode(#"{"name":"n","kind":null,"parts":null}"#) == Sample(name: "n"))
        #expect(try JSONValue("[[1,2],[]]".utf8).decode([[Int8]].self) == [[1, 2], []])
    }

    @Test(arguments: [
        (#"{}"#, "name is required"), (#"[]"#, "the whole has the wrong type"),
        (#"{"name":1}"#, "name has the wrong type"),
        (#"{"name":null}"#, "name has the wrong type"), (#"{"name":"n","user":"1"}"#, "user has the wrong type"),
        (#"{"name":"n","parts":[{"portNumber":1},{}]}"#, "parts.1.portNumber is required"),
    ]) func `what does not fit is named with its place`(_ text: String, _ problem: String) {
        #expect(throws: JSONMismatch.self) { try decode(text) }
        do { _ = try decode(text) } catch { #expect("\(error)" == problem) }
    }

    /// No number that somebody writes is cut to fit, and none traps.
    @Test(arguments: ["-1", "4294967296", "1.5", "1e300", "-1e300", "9223372036854775808", "18446744073709551616"])
    func `a number that its type cannot hold is refused`(_ number: String) {
        #expect(throws: JSONMismatch.self) { try decode(#"{"name":"n","user":\#(number)}"#) }
        #expect(throws: JSONMismatch.self) { try decode(#"{"name":"n","parts":[{"portNumber":\#(number)}]}"#) }
    }

    @Test(arguments: ["nane2", "other", "x", "kinds_of_it"]) func `names that are like none are passed over`(
        _ name: String
    ) throws {
        #expect(try decode(#"{"name":"n","\#(name)":1}"#) == Sample(name: "n"))
    }

    @Test(arguments: [
        (#"{"name":"n","Kind":"one"}"#, "Kind", "kind"), (#"{"name":"n","kinds":"one"}"#, "kinds", "kind"),
        (#"{"name":"n","parts":[{"portNumber":1,"port_number":2}]}"#, "parts.0.port_number", "portNumber"),
        (#"{"name":"n","parts":[{"portNumber":1,"falg":true}]}"#, "parts.0.falg", "flag"),
    ]) func `a misspelt name is refused with the one that was meant`(_ text: String, _ place: String, _ meant: String) {
        do {
            _ = try decode(text)
            Issue.record("\(text) was taken")
        } catch { #expect("\(error)" == "\(place) is wrong: it is unknown; did you mean \(meant)?") }
        #expect(throws: Never.self) { try decode(text, .tolerated) }
    }

    @Test func `where no unknown name is allowed the nearest one is told, but free names of a map are free`() throws {
        #expect(throws: JSONMismatch.self) { try decode(#"{"name":"n","whatever":1}"#, .refused) }
        #expect(try decode(#"{"name":"n","texts":{"naem":"x"}}"#, .refused).texts?.count == 1)
    }
}
