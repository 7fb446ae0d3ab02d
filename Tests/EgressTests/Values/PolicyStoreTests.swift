import Glibc
import NetworkPolicy
import Testing

@testable import Egress

/// A folder of records that goes with the test, and the changes of one record in it.
private final class Records {
    let folder = "/tmp/spt-records-\(UInt32.random(in: .min ... .max))"
    var store: PolicyStore
    var record: GuardRecord

    init(rules count: Int) throws {
        store = try PolicyStore(folder: folder)
        let rules = try (0..<count).map { try Rule(action: .allow, text: "host-\($0).example.com") }
        record = GuardRecord(
            id: "a", namespacePath: "/run/netns/a", token: String(repeating: "f", count: PolicyToken.length),
            policy: Policy(defaultAction: .deny, rules: rules))
        try store.stage(record, after: .replace(record.policy)).publish()
    }

    deinit {
        for name in ["a.json", "a.json.new", "a.journal"] { unlink(folder + "/" + name) }
        rmdir(folder)
    }

    func stage(_ change: PolicyChange) throws -> StagedRecord {
        record.policy = PolicyEvaluator(record.policy).applying(change).evaluator.policy
        return try store.stage(record, after: change)
    }

    /// What the next process finds.
    func reload() throws -> GuardRecord {
        store = try PolicyStore(folder: folder)
        #expect(try store.identifiers() == ["a"])
        return try store.load("a")
    }

    var journal: [UInt8]? {
        get {
            guard let file = fopen(store.journalPath(of: "a"), "r") else { return nil }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            return Array(bytes[..<fread(&bytes, 1, bytes.count, file)])
        }
        set {
            let file = fopen(store.journalPath(of: "a"), "w")!
            fwrite(newValue!, 1, newValue!.count, file)
            fclose(file)
        }
    }
}

@Suite struct PolicyStoreTests {
    private func patch(_ number: Int) throws -> PolicyChange {
        number % 3 == 2
            ? .remove([try RuleSelector("host-\(number).example.com"), try RuleSelector("198.51.100.0/24")])
            : .merge([
                try Rule(action: .deny, text: "host-\(number).example.com", scope: TrafficScope(ports: [25...25])),
                try Rule(action: .allow, text: "Bücher-\(number).example"),
                try Rule(action: .allow, text: "198.51.100.0/24"),
            ])
    }

    @Test func `changes of a large policy stand behind it and are found again, in their order`() throws {
        let records = try Records(rules: 500)
        for number in 0..<50 {
            try records.stage(patch(number)).publish()
            if number % 7 == 0 { #expect(try records.reload() == records.record) }
        }
        #expect(try records.reload() == records.record)
        #expect(records.journal!.count < 20_000)
    }

    @Test func `changes that grow as long as the policy are written into it`() throws {
        let records = try Records(rules: 400)
        var length = 0, grew = 0, shrank = 0
        for number in 0..<600 {
            try records.stage(patch(number)).publish()
            let next = records.journal?.count ?? 0
            if next > length { grew += 1 } else { shrank += 1 }
            length = next
        }
        #expect(grew > 300 && shrank > 0)
        #expect(try records.reload() == records.record)
    }

    @Test func `a small policy is written whole`() throws {
        let records = try Records(rules: 10)
        try records.stage(patch(0)).publish()
        #expect(records.journal == nil)
        #expect(try records.reload() == records.record)
    }

    @Test func `a process that ends at any byte of a change leaves the policy before it`() throws {
        let records = try Records(rules: 500)
        try records.stage(patch(0)).publish()
        let before = records.record, whole = records.journal!
        // Staged, not in force; the line as it is while it is written.
        let line = Journal.line(try patch(1), mark: String(decoding: whole[1..<17], as: UTF8.self))!
        for count in 0...line.count {
            records.journal = whole + line.prefix(count)
            #expect(try records.reload() == before)
            // The next process goes on from there.
            if count % 40 == 0 {
                records.record = before
                try records.stage(patch(3)).publish()
                #expect(try records.reload() == records.record)
            }
        }
    }

    @Test func `a change that is not published leaves nothing`() throws {
        let records = try Records(rules: 500)
        try records.stage(patch(0)).publish()
        let before = records.record, whole = records.journal!
        do { _ = try records.stage(patch(1)) }
        #expect(records.journal == whole)
        #expect(try records.reload() == before)
    }

    @Test func `changes of a policy that was replaced count no more, even where they stayed`() throws {
        let records = try Records(rules: 500)
        try records.stage(patch(0)).publish()
        let stale = records.journal!
        try records.stage(.replace(Policy(defaultAction: .deny, rules: records.record.policy.rules.dropLast())))
            .publish()
        #expect(records.journal == nil)
        records.journal = stale
        #expect(try records.reload() == records.record)
        try records.stage(patch(1)).publish()
        #expect(try records.reload() == records.record)
    }

    @Test func `a line that counts but cannot be read is an error`() throws {
        let records = try Records(rules: 500)
        try records.stage(patch(0)).publish()
        var broken = records.journal!
        broken[30] = UInt8(ascii: "%")
        records.journal = broken
        #expect(throws: EgressError.self) { try records.reload() }
    }

    @Test func `a record of version 1 is read`() throws {
        let token = String(repeating: "f", count: PolicyToken.length)
        let old =
            #"{"version":1,"id":"a","namespace":"/n","token":"\#(token)","policy":{"egress":[{"action":"allow","target":"x.org"}]}}"#
        let (record, mark) = try GuardRecord.decode(Array((old + "\n").utf8), path: "x")
        #expect(mark == nil && record.policy.rules.map(\.text) == ["x.org"] && record.namespacePath == "/n")
    }
}
