import Addresses
import NetworkPolicy
import Testing

@testable import DNSFilter

/// A query in wire form, as a stub resolver sends it.
func queryBytes(_ name: String, type: UInt16 = 1, identifier: UInt16 = 0x1234, edns: Bool = false) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(identifier >> 8), UInt8(identifier & 0xff), 1, 0, 0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0]
    for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + label.utf8 }
    bytes += [0, UInt8(type >> 8), UInt8(type & 0xff), 0, 1]
    if edns { bytes += [0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0] }
    return bytes
}

/// A response to a query's bytes with these records; owners and names in data are texts.
func responseBytes(
    to query: [UInt8], code: UInt8 = 0, truncated: Bool = false, records: [(String, UInt16, UInt32, [UInt8])] = []
) -> [UInt8] {
    var bytes =
        Array(query[..<2]) + [0x81 | (truncated ? 2 : 0), 0x80 | code, 0, 1, 0, UInt8(records.count), 0, 0, 0, 0]
    var end = 12
    while query[end] != 0 { end += 1 + Int(query[end]) }
    bytes += query[12..<end + 5]
    for (owner, type, ttl, data) in records {
        bytes += try! DomainName(owner).wire + [UInt8(type >> 8), UInt8(type & 0xff), 0, 1]
        bytes +=
            [
                UInt8(ttl >> 24), UInt8(ttl >> 16 & 0xff), UInt8(ttl >> 8 & 0xff), UInt8(ttl & 0xff), 0,
                UInt8(data.count),
            ] + data
    }
    return bytes
}

private func parse(_ bytes: [UInt8]) -> Result<Query, QueryRejection>? { bytes.withUnsafeBytes { Query.parse($0) } }

@Suite struct QueryTests {
    @Test func `a query is read and its case kept for the answer`() throws {
        let query = try #require(try parse(queryBytes("ExAmple.com", type: 28, edns: true))?.get())
        #expect(query.name.description == "example.com")
        #expect(query.type == 28 && query.hasEDNS && query.payloadLimit == 1232 && query.identifier == 0x1234)
        #expect(query.question.contains(UInt8(ascii: "A")))
    }

    @Test func `what is forwarded holds nothing of the sandbox but the name and the type`() throws {
        var bytes = queryBytes("SeCret.Example", edns: true)
        bytes[bytes.count - 1] = 4
        bytes += Array("leak".utf8)
        let query = try #require(try parse(bytes)?.get())
        let forwarded = Query.forwardedBytes(name: query.name, type: query.type, identifier: 7)
        #expect(
            forwarded == queryBytes("secret.example", identifier: 7)[..<11] + [1]
                + queryBytes("secret.example").dropFirst(12)
                + [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])
    }

    @Test(arguments: [
        ("two questions", 5, UInt8(2)), ("an answer", 7, 1), ("an authority record", 9, 1),
        ("two additional records", 11, 2),
    ])
    func `a query with more than a question is malformed`(what: String, offset: Int, count: UInt8) {
        var bytes = queryBytes("example.com")
        bytes[offset] = count
        #expect(parse(bytes).map { try? $0.get() } == .some(nil), "\(what)")
    }

    @Test func `names that no host has are answered as such`() {
        for name in ["1.2.3.4", "exa mple.com", "a\0b.com"] {
            guard case .failure(let rejection)? = parse(queryBytes("x.y").prefix(12) + encode(name) + [0, 1, 0, 1])
            else {
                Issue.record("\(name) was taken")
                continue
            }
            #expect(
                rejection.code
                    == (name.contains(" ") || name.contains("\0") || name.first == "1" ? .nameError : .formatError))
        }
    }

    @Test(arguments: [1, 2, 6, 48, 255] as [UInt16], [false, true])
    func `a query for the root is refused in a whole message, and not as a name that does not exist`(
        type: UInt16, edns: Bool
    ) throws {
        let bytes = queryBytes("", type: type, edns: edns)
        guard case .failure(let rejection)? = parse(bytes) else {
            Issue.record("taken")
            return
        }
        #expect(rejection.code == .refused)
        let answer = ResponseEncoder.encode(rejection)
        #expect(Array(answer[..<2]) == Array(bytes[..<2]) && answer[2] == 0x81 && answer[3] == 0x85)
        #expect(Array(answer[4..<12]) == [0, 1, 0, 0, 0, 0, 0, edns ? 1 : 0])
        let question = Array(bytes[12..<17])
        #expect(Array(answer[12..<17]) == question && question[0] == 0)
        guard edns else {
            #expect(answer.count == 17)
            return
        }
        // The root, OPT, our size, no flags, and an option that says why.
        #expect(Array(answer[17..<20]) == [0, 0, 41] && answer.count == 28 + Int(answer[27]))
        #expect(String(decoding: answer, as: UTF8.self).contains("policy: the root is not forwarded"))
    }

    private func encode(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    @Test func `responses and scraps are not answered at all`() {
        var response = queryBytes("example.com")
        response[2] |= 0x80
        #expect(parse(response) == nil)
        #expect(parse([]) == nil)
        #expect(parse([1, 2, 3]) == nil)
    }

    @Test func `another class, another opcode and trailing bytes are refused`() {
        var chaos = queryBytes("example.com")
        chaos[chaos.count - 1] = 3
        #expect(
            parse(chaos)
                == .failure(
                    QueryRejection(
                        identifier: 0x1234, recursionDesired: true, code: .refused, question: Array(chaos[12...]))))
        var update = queryBytes("example.com")
        update[2] = 5 << 3
        if case .failure(let rejection)? = parse(update) { #expect(rejection.code == .notImplemented) }
        if case .failure(let rejection)? = parse(queryBytes("example.com") + [0]) {
            #expect(rejection.code == .formatError)
        }
    }

    @Test func `another version of EDNS is refused with its own code`() throws {
        var bytes = queryBytes("example.com", edns: true)
        bytes[bytes.count - 5] = 1
        guard case .failure(let rejection)? = parse(bytes) else {
            Issue.record("taken")
            return
        }
        let answer = ResponseEncoder.encode(rejection)
        // Code 16: its upper eight bits stand first in the TTL of the OPT record.
        #expect(answer[3] & 0xf == 0 && answer[11] == 1 && answer[answer.count - 6] == 1)
    }

    @Test func `whatever is asked, the answer has our own EDNS record or none`() throws {
        for edns in [true, false] {
            var bytes = queryBytes("example.com", edns: edns)
            if edns { bytes[bytes.count - 4] = 0x80 }
            let query = try #require(try parse(bytes)?.get())
            let answer = ResponseEncoder.encode(.empty, to: query, error: .networkError)
            #expect(answer[11] == (edns ? 1 : 0))
            // DNSSEC's flag is clear, whatever the query had: no signature is ever forwarded.
            let option = ExtendedError.networkError.option
            let record: [UInt8] = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, UInt8(option.count)] + option
            #expect(edns ? answer.suffix(record.count) == record[...] : answer.count == 12 + query.question.count)
            #expect(option[3] == 2 + option.count - 6 && option[5] == 23)
        }
    }

    @Test func `a refusal says why in 200 bytes at most, whatever the rule's text`() throws {
        let query = try #require(try parse(queryBytes("a.example", edns: true))?.get())
        let label = String(repeating: "l", count: 63)
        for target in ["a.example", "*.example", "\(label).\(label).\(label).example"] {
            let verdict = Verdict(
                action: .deny,
                reason: .rule(
                    3, try Rule(action: .deny, text: target, scope: TrafficScope(transport: .tcp, ports: [443...443]))))
            let option = ExtendedError.blocked(by: verdict).option
            #expect(option == ExtendedError.blocked("policy: \(verdict)").option)
            #expect(option.count <= 206 && Int(option[2]) << 8 | Int(option[3]) == option.count - 4)
            let told = "policy: denied by rule deny \(target) tcp 443"
            #expect(String(decoding: option[6...], as: UTF8.self) == String(told.prefix(200)))
            let answer = ResponseEncoder.encode(.empty, to: query, error: .blocked(by: verdict))
            #expect(answer.suffix(option.count) == option[...])
        }
    }

    @Test func `what was read goes out again as what was meant`() throws {
        var random = SeededGenerator(state: 11)
        let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_".utf8)
        for _ in 0..<5000 {
            let labels = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                (0..<Int.random(in: 1...20, using: &random)).map { _ in letters.randomElement(using: &random)! }
            }
            let text = labels.map { String(decoding: $0, as: UTF8.self) }.joined(separator: ".") + ".Example"
            let type = UInt16.random(in: 1...300, using: &random)
            let bytes = queryBytes(text, type: type, identifier: .random(in: 0 ... .max, using: &random), edns: true)
            let query = try #require(try parse(bytes)?.get())
            #expect(query.name.description == text.lowercased() && query.type == type)
            // What goes upstream is a query for the same, in whatever case.
            let forwarded = Query.forwardedBytes(
                name: query.name, type: query.type, identifier: 9, spelling: random.next())
            let again = try #require(try parse(forwarded)?.get())
            #expect(again.name == query.name && again.type == type && again.identifier == 9 && again.hasEDNS)
            // The records of an answer come out of the encoder as they went in.
            var answer = Answer.empty
            answer.records = (0..<Int.random(in: 0...4, using: &random)).map { _ in
                ResourceRecord(
                    owner: Bool.random(using: &random) ? query.name.wire : [1, 98, 0], type: 1,
                    ttl: .random(in: 0...86400, using: &random),
                    data: (0..<4).map { _ in .random(in: 0...255, using: &random) })
            }
            let encoded = ResponseEncoder.encode(answer, to: query)
            let response = try encoded.withUnsafeBytes { try UpstreamResponse($0) }
            #expect(response.answers == answer.records && response.identifier == query.identifier)
            #expect(response.canonicalName == query.name && response.questionName == Array(query.question.dropLast(4)))
        }
    }

    @Test func `compression pointers cannot loop`() {
        for pointer in [[0xc0, 12], [0xc0, 14], [0xc0, 0xff], [0xff, 0xff], [1, 97, 0xc0, 12]] as [[UInt8]] {
            let bytes = Array(queryBytes("x").prefix(12)) + pointer + [0, 0, 1, 0, 1]
            if case .success? = parse(bytes) { Issue.record("\(pointer) was taken") }
        }
    }

    @Test func `no bytes crash the parsers`() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<60_000 {
            var bytes: [UInt8]
            switch Int.random(in: 0..<3) {
            case 0: bytes = (0..<Int.random(in: 0...80)).map { _ in UInt8.random(in: 0...255, using: &generator) }
            case 1: bytes = queryBytes("a.example.com", edns: true)
            default:
                bytes = responseBytes(
                    to: queryBytes("a.example.com"),
                    records: [("a.example.com", 5, 60, [1, 98, 0]), ("b", 1, 60, [198, 51, 100, 1])])
            }
            for _ in 0..<Int.random(in: 0...3) where !bytes.isEmpty {
                bytes[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255, using: &generator)
            }
            if Bool.random() { bytes.removeLast(Int.random(in: 0...bytes.count)) }
            if case .success(let query)? = parse(bytes) {
                #expect((try? DomainName(wire: query.name.wire)) == query.name)
            }
            _ = bytes.withUnsafeBytes { try? UpstreamResponse($0) }
        }
    }
}

@Suite struct AnswerTests {
    private func answer(
        _ name: String, type: UInt16 = 1, _ records: [(String, UInt16, UInt32, [UInt8])], code: UInt8 = 0
    ) throws -> Answer {
        let bytes = responseBytes(to: queryBytes(name, type: type), code: code, records: records)
        let response = try bytes.withUnsafeBytes { try UpstreamResponse($0) }
        return Answer(response, name: try DomainName(name), type: type)
    }
    private func wire(_ name: String) -> [UInt8] { try! DomainName(name).wire }

    @Test func `only the chain from the question counts`() throws {
        let answer = try answer(
            "a.example",
            [
                ("evil.example", 1, 60, [198, 51, 100, 66]), ("a.example", 5, 60, wire("b.example")),
                ("b.example", 1, 30, [198, 51, 100, 1]),
                ("c.example", 1, 60, [198, 51, 100, 67]),
            ])
        #expect(answer.addresses == [LearnedAddress(address: IPAddress("198.51.100.1")!, lifetime: 30)])
        #expect(answer.lifetime(isNegative: false) == 30 && !answer.isNegative(type: 1))
    }

    @Test func `a chain in a circle or without an end is a failure or empty`() throws {
        let circle = try answer(
            "a.example", [("a.example", 5, 60, wire("b.example")), ("b.example", 5, 60, wire("a.example"))])
        #expect(circle.addresses.isEmpty)
        let long = try answer("n0.example", (0..<20).map { ("n\($0).example", 5, 60, wire("n\($0 + 1).example")) })
        #expect(long == .serverFailure)
    }

    @Test func `refused addresses leave the answer, and the chain with the last one`() throws {
        let mixed = try answer(
            "a.example", [("a.example", 1, 60, [127, 0, 0, 1]), ("a.example", 1, 60, [198, 51, 100, 1])])
        #expect(
            mixed.filtered { $0 != IPAddress("127.0.0.1") }.addresses.map(\.address.description) == ["198.51.100.1"])
        let only = try answer(
            "a.example", [("a.example", 5, 60, wire("b.example")), ("b.example", 1, 60, [127, 0, 0, 1])])
        #expect(only.filtered { _ in false } == Answer(code: .noError))
    }

    @Test func `a name that does not exist has no records`() throws {
        #expect(try answer("a.example", [("a.example", 1, 60, [198, 51, 100, 1])], code: 3) == .serverFailure)
    }

    @Test func `the SOA of another zone is not believed`() throws {
        for (zone, isTaken) in [("example", true), ("a.example", true), ("b.example", false), ("x.a.example", false)] {
            var bytes = responseBytes(to: queryBytes("a.example"), code: 3)
            bytes[9] = 1
            bytes +=
                wire(zone) + [0, 6, 0, 1, 0, 0, 1, 0, 0, 24, 1, 97, 0, 0] + [UInt8](repeating: 0, count: 19) + [60]
            let response = try bytes.withUnsafeBytes { try UpstreamResponse($0) }
            let answer = Answer(response, name: try DomainName("a.example"), type: 1)
            #expect((answer.authority != nil) == isTaken, "\(zone)")
            #expect(answer.lifetime(isNegative: true) == (isTaken ? 60 : 0))
        }
    }

    @Test func `a time to live is a day at most`() throws {
        let answer = try answer("a.example", [("a.example", 1, 2_000_000, [198, 51, 100, 1])])
        #expect(answer.addresses[0].lifetime == 86400)
    }

    @Test func `a long answer over UDP is cut with TC set`() throws {
        let query = try #require(try queryBytes("a.example").withUnsafeBytes { Query.parse($0) }?.get())
        var answer = Answer.empty
        answer.records = (0..<60).map {
            ResourceRecord(owner: query.name.wire, type: 1, ttl: 60, data: [198, 51, 100, UInt8($0)])
        }
        let cut = ResponseEncoder.encode(answer, to: query, limit: query.payloadLimit)
        #expect(cut.count <= 512 && cut[2] & 0x02 != 0 && cut[7] == 0)
        let whole = ResponseEncoder.encode(answer, to: query)
        let read = try whole.withUnsafeBytes { try UpstreamResponse($0) }
        #expect(read.answers == answer.records && !read.isTruncated)
    }

    @Test func `TTLs go down with age and never below zero`() throws {
        let query = try #require(try queryBytes("a.example").withUnsafeBytes { Query.parse($0) }?.get())
        var answer = Answer.empty
        answer.records = [ResourceRecord(owner: query.name.wire, type: 1, ttl: 60, data: [198, 51, 100, 1])]
        for (age, left) in [(UInt32(10), UInt32(50)), (90, 0)] {
            let bytes = ResponseEncoder.encode(answer, to: query, elapsed: age)
            #expect(try bytes.withUnsafeBytes { try UpstreamResponse($0) }.answers[0].ttl == left)
        }
    }
}

@Suite struct StreamBufferTests {
    @Test func `messages come out whole however the stream is cut`() {
        for _ in 0..<300 {
            let messages = (0..<Int.random(in: 0...5)).map { _ in
                (0..<Int.random(in: 0...300)).map { _ in UInt8.random(in: 0...255) }
            }
            var rest = messages.flatMap(StreamBuffer.framed)[...]
            var buffer = StreamBuffer()
            var read: [[UInt8]] = []
            while !rest.isEmpty {
                let part = Array(rest.prefix(Int.random(in: 1...64)))
                rest = rest.dropFirst(part.count)
                part.withUnsafeBytes { buffer.append($0) }
                while let message = buffer.next() { read.append(message) }
            }
            #expect(read == messages && buffer.pendingBytes == 0)
        }
    }
}
