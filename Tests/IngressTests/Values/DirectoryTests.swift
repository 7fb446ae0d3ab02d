import Ingress
import SecureAccess
import Testing

@testable import Ingress

@Suite struct DirectoryTests {
    private func entry(_ id: String, host: String? = "10.0.0.1", incarnation: String = "i", revocations: UInt64 = 0)
        -> DirectoryEntry
    {
        DirectoryEntry(
            id: id, host: host, incarnation: incarnation, epoch: AccessEpoch(birth: 5, revocations: revocations),
            credentialHash: [1, 2, 255],
            services: [.init(port: 7, socket: "/s", pathPrefix: "/p")], renews: true)
    }

    @Test func `every message is read as it was written`() throws {
        let position = DirectoryPosition(stream: "s", sequence: 9)
        for message: DirectoryMessage in [
            .snapshot(position, [entry("a"), entry("b", host: nil)]), .snapshot(position, []), .resumed(position),
            .set(sequence: 3, entry("a")), .remove(sequence: 4, id: "a"), .beat(sequence: 5),
        ] {
            let line = message.line
            #expect(line.last == UInt8(ascii: "\n") && line.filter { $0 == UInt8(ascii: "\n") }.count == 1)
            #expect(try DirectoryMessage(line: line.dropLast()) == message)
        }
    }

    @Test(arguments: ["", "{}", "x", #"{"kind":"set","sequence":1}"#, #"{"kind":"other","sequence":1}"#])
    func `what is no message is malformed`(_ line: String) {
        #expect(throws: DirectoryError.malformed) { try DirectoryMessage(line: Array(line.utf8)) }
    }

    @Test func `an entry says where each port is`() {
        let entry = entry("a")
        guard case .found(let plain) = entry.lookup(80), case .found(let service) = entry.lookup(7) else {
            Issue.record("not found")
            return
        }
        #expect(plain.address == .tcp(host: "10.0.0.1", port: 80) && plain.headers.isEmpty)
        #expect(service.address == .unix(path: "/s") && service.pathPrefix == "/p" && service.headers.isEmpty)
        #expect(plain.epoch == entry.epoch && plain.credentialHash == [1, 2, 255] && plain.incarnation == "i")
        guard case .notReady(_, let hash, let epoch) = self.entry("a", host: nil).lookup(80) else {
            Issue.record("found")
            return
        }
        #expect(hash == [1, 2, 255] && epoch == entry.epoch)
    }

    @Test func `a replica that follows any journal from any moment has what it has`() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            var journal = DirectoryJournal(stream: "s", capacity: 4), replica = DirectoryReplica()
            for message in journal.opening(after: nil) { _ = try replica.apply(message) }
            for _ in 0..<60 {
                for _ in 0..<Int.random(in: 0...6, using: &generator) {
                    let id = "s\(Int.random(in: 0..<5, using: &generator))"
                    let isGone = Bool.random(using: &generator)
                    journal.set(id, isGone ? nil : entry(id, revocations: .random(in: 0...3, using: &generator)))
                }
                let isNew = Bool.random(using: &generator)
                let messages =
                    isNew ? journal.opening(after: replica.position) : journal.messages(after: replica.position!)
                for message in messages { _ = try replica.apply(message) }
                #expect(replica.entries == journal.entries && replica.position == journal.position)
            }
        }
    }

    @Test func `what was missed is sent alone, and everything where it is too much or another stream`() {
        var journal = DirectoryJournal(stream: "s", capacity: 2)
        journal.set("a", entry("a"))
        let known = journal.position
        #expect(journal.opening(after: known) == [.resumed(known)])
        journal.set("a", entry("a"))
        #expect(journal.position == known)
        journal.set("a", nil)
        #expect(journal.opening(after: known) == [.resumed(known), .remove(sequence: 2, id: "a")])
        for number in 0..<8 { journal.set("\(number)", entry("\(number)")) }
        guard case .snapshot(_, let entries)? = journal.opening(after: known).first else {
            Issue.record("no snapshot")
            return
        }
        #expect(entries.count == 8)
        for stranger in [DirectoryPosition(stream: "t", sequence: 1), .init(stream: "s", sequence: 99)] {
            guard case .snapshot? = journal.opening(after: stranger).first else {
                Issue.record("no snapshot")
                return
            }
        }
    }

    @Test func `a step that is missing is a gap, and the last state stays`() throws {
        var replica = DirectoryReplica()
        #expect(throws: DirectoryError.gap) { try replica.apply(.set(sequence: 1, entry("a"))) }
        #expect(throws: DirectoryError.gap) { try replica.apply(.beat(sequence: 0)) }
        _ = try replica.apply(.snapshot(.init(stream: "s", sequence: 4), [entry("a")]))
        for message: DirectoryMessage in [
            .set(sequence: 6, entry("b")), .remove(sequence: 4, id: "a"), .beat(sequence: 5),
            .resumed(.init(stream: "s", sequence: 3)),
        ] {
            #expect(throws: DirectoryError.gap) { try replica.apply(message) }
            #expect(replica.entries.keys.sorted() == ["a"])
        }
        _ = try replica.apply(.beat(sequence: 4))
    }

    @Test func `a change says which access it ends`() throws {
        var replica = DirectoryReplica()
        let position = { DirectoryPosition(stream: "s", sequence: $0) }
        #expect(try replica.apply(.snapshot(position(0), [entry("a"), entry("b", incarnation: "j")])) == [])
        let revoked = EndedAccess(incarnation: "i", epoch: AccessEpoch(birth: 5, revocations: 1))
        #expect(try replica.apply(.set(sequence: 1, entry("a", revocations: 1))) == [revoked])
        #expect(try replica.apply(.set(sequence: 2, entry("a", host: nil, revocations: 1))) == [])
        #expect(
            try replica.apply(.set(sequence: 3, entry("a", incarnation: "k"))) == [EndedAccess(incarnation: "i")])
        #expect(try replica.apply(.remove(sequence: 4, id: "a")) == [EndedAccess(incarnation: "k")])
        // Also where the stream was away while it happened.
        #expect(try replica.apply(.snapshot(position(9), [])) == [EndedAccess(incarnation: "j")])
    }

    @Test(arguments: [
        ("unix:/run/x.sock", "unix:/run/x.sock", false), ("127.0.0.1:80", "127.0.0.1:80", false),
        ("tcp://[::1]:9", "[::1]:9", false), ("198.51.100.1:9", "198.51.100.1:9", true),
    ])
    func `an address is a socket or a literal address with a port`(_ text: String, _ form: String, _ leaves: Bool)
        throws
    {
        let address = try DirectoryAddress(text)
        #expect(address.description == form && address.leavesMachine == leaves)
    }

    @Test(arguments: ["", "unix:", "unix:x", "host:80", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x"])
    func `anything else is none`(_ text: String) {
        #expect(throws: DirectoryError.invalidAddress(text)) { try DirectoryAddress(text) }
    }
}
