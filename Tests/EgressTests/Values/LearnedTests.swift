import Addresses
import NetworkPolicy
import Testing

@testable import Egress

@Suite struct LearnedTests {
    private let address = IPAddress("198.51.100.1")!

    @Test func `names survive the way through the kernel's user data, the longest-lived first`() throws {
        let names = [try DomainName("a.example"): UInt64(5), try DomainName("b.example"): 9]
        let bytes = LearnedNames.encode(names)
        #expect(LearnedNames.decode(bytes)?.map(\.description) == ["b.example", "a.example"])
        #expect(String(decoding: bytes, as: UTF8.self) == "b.example a.example", "as people read it")
    }

    @Test func `names fill the room to its last byte, and what has room is told beforehand`() throws {
        for length in 1...59 {
            var names: [DomainName: UInt64] = [:]
            for number in 0..<200 {
                let label = String(repeating: "x", count: length) + "\(1000 + number)"
                let name = try DomainName(label + ".example")
                let hasRoom = LearnedNames.hasRoom(beside: names, for: name)
                names[name] = UInt64(number)
                let bytes = LearnedNames.encode(names)
                #expect((LearnedNames.decode(bytes)?.count == names.count) == hasRoom)
                #expect(bytes.count <= LearnedNames.maximumBytes)
                guard hasRoom else { break }
            }
        }
        let whole = try DomainName(
            String(repeating: String(repeating: "y", count: 49) + ".", count: 4) + "exampl."
                + String(repeating: "z", count: 44))
        #expect(whole.description.utf8.count == LearnedNames.maximumBytes)
        #expect(LearnedNames.decode(LearnedNames.encode([whole: 1])) == [whole])
    }

    @Test func `what a sandbox may have judged in a second is bounded, and few names cost nothing`() {
        var allowance = JudgementAllowance()
        func takes(_ names: Int, now: UInt64) -> Bool { allowance.take(names: names, now: now) }
        for _ in 0..<10_000 { #expect(takes(JudgementAllowance.free, now: 7)) }
        var judged = 0
        while takes(256, now: 7) { judged += 256 }
        #expect((JudgementAllowance.perSecond..<JudgementAllowance.perSecond + 1024).contains(judged))
        #expect(!takes(128, now: 7))
        #expect(takes(JudgementAllowance.free, now: 7) && takes(256, now: 8))
    }

    @Test func `user data never grows beyond what the kernel takes`() throws {
        var names: [DomainName: UInt64] = [:]
        for index in 0..<100 { names[try DomainName("name-number-\(index).example.com")] = UInt64(index) }
        #expect(LearnedNames.encode(names).count <= LearnedNames.maximumBytes)
    }

    @Test func `bytes that are not whole names say nothing`() {
        #expect(LearnedNames.decode([]) == nil)
        for text in ["a.example ", " a.example", "a..example", "a.example  b.example", "a.exam\u{1b}ple", "1.2.3.4"] {
            #expect(LearnedNames.decode(Array(text.utf8)) == nil)
        }
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...40)).map { _ in UInt8.random(in: 0...255) }
            if let names = LearnedNames.decode(bytes) { #expect(!names.isEmpty) }
        }
    }

    @Test func `an answer may go out again while its name's record holds and the kernel keeps the address beyond it`()
        throws
    {
        var learned = LearnedAddresses(capacity: 100)
        let name = try DomainName("a.example"), other = try DomainName("b.example")
        func validSeconds(_ name: DomainName, timeToLive: UInt64, now: UInt64) -> UInt64 {
            learned.validSeconds(of: address, from: name, timeToLive: timeToLive, grace: 30, now: now)
        }
        #expect(validSeconds(name, timeToLive: 10, now: 0) == 0, "it is not known")
        let taught = learned.entry(learning: address, from: name, until: 90, now: 0)
        var entry = try #require(taught)
        learned.store(entry, for: address)
        #expect(validSeconds(name, timeToLive: 60, now: 0) == 0, "the kernel has not got it")
        entry.profile = 1
        learned.store(entry, for: address)
        #expect(validSeconds(name, timeToLive: 60, now: 0) == 59)
        #expect(validSeconds(name, timeToLive: 20, now: 40) == 19)
        #expect(validSeconds(name, timeToLive: 0, now: 60) == 0, "less than the grace is left")
        #expect(validSeconds(name, timeToLive: 91, now: 0) == 0, "the record holds for longer")
        #expect(validSeconds(other, timeToLive: 10, now: 0) == 0, "that name has taught nothing")
    }

    @Test func `a name that makes room for another one is counted`() throws {
        var learned = LearnedAddresses(capacity: 100)
        for number in 0...LearnedAddresses.maximumNamesPerAddress {
            #expect(learned.displacements == 0)
            let taught = learned.entry(
                learning: address, from: try DomainName("n\(number).example"), until: 90, now: 0)
            learned.store(try #require(taught), for: address)
        }
        #expect(learned.displacements == 1)
    }

    @Test func `a flow keeps an address open, its names with it, and not for ever`() throws {
        var learned = LearnedAddresses(capacity: 10)
        let name = try DomainName("a.example"), gone = try DomainName("gone.example")
        let taught = learned.entry(learning: address, from: name, until: 100, now: 0)
        var first = try #require(taught)
        first.names[gone] = 5
        first.profile = 3
        learned.store(first, for: address)
        #expect(learned.ending(before: 90, bound: 50, now: 80).isEmpty, "not yet")
        #expect(learned.ending(before: 110, bound: 50, now: 80) == [address])
        #expect(learned.entry(renewing: address, until: 130, now: 100) == nil, "what is closed stays closed")
        var now: UInt64 = 90
        var renewals = 0
        while learned.ending(before: now + 20, bound: 50, now: now) == [address] {
            let entry = try #require(learned.entry(renewing: address, until: now + 30, now: now))
            #expect(entry.profile == 3 && entry.names[name] == now + 30 && entry.names[gone] == 5)
            learned.store(entry, for: address)
            renewals += 1
            now += 20
        }
        #expect((2...4).contains(renewals) && now <= 160, "the bound counts from the record's end")
        // The name asked for again is a new record.
        let again = learned.entry(learning: address, from: name, until: now + 30, now: now)
        learned.store(try #require(again), for: address)
        #expect(learned.ending(before: now + 40, bound: 50, now: now) == [address])
    }

    @Test func `history makes room for what is live, and the live are never pushed out`() throws {
        var learned = LearnedAddresses(capacity: 1)
        let name = try DomainName("a.example")
        let entry = learned.entry(learning: address, from: name, until: 10, now: 0)
        learned.store(try #require(entry), for: address)
        let other = IPAddress("198.51.100.2")!
        let early = learned.entry(learning: other, from: name, until: 20, now: 5)
        #expect(early == nil)
        // Two seconds later the kernel has surely forgotten it, too.
        let late = learned.entry(learning: other, from: name, until: 20, now: 12)
        #expect(late != nil)
    }

    @Test func `an address stays while one of its names is allowed`() throws {
        var learned = LearnedAddresses(capacity: 8)
        let (one, two) = (try DomainName("one.example"), try DomainName("two.example"))
        for name in [one, two] {
            let entry = learned.entry(learning: address, from: name, until: 10, now: 0)
            learned.store(try #require(entry), for: address)
        }
        let none = learned.retain(learned.entries) { $1 != one }
        #expect(none.isEmpty)
        #expect(learned.isLive(address, now: 1))
        let forgotten = learned.retain(learned.entries) { $1 != two }
        #expect(forgotten.keys.contains(address))
        #expect(!learned.isLive(address, now: 1))
    }
}
