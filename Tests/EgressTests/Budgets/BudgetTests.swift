import NetworkPolicy
import Testing

@testable import Egress

@Suite struct BudgetTests {
    private let zone = try! DomainName("zone.example")
    private func name(_ text: String) throws -> DomainName { try DomainName(text + ".zone.example") }

    @Test func `distinct names are counted once in a window`() throws {
        var names = DistinctNames(limit: 2, window: 100)
        let asked: [(name: String, now: UInt64, isAdmitted: Bool)] = [
            ("a", 0, true), ("b", 50, true), ("c", 60, false), ("a", 99, true), ("c", 99, false), ("c", 100, true),
            ("a", 100, true), ("b", 100, false),
        ]
        for (text, now, isAdmitted) in asked {
            let admitted = names.admit(try name(text), now: now)
            #expect(admitted == isAdmitted, "\(text) at \(now)")
        }
    }

    @Test func `recent names are forgotten by generations, and never more are held than twice the capacity`() throws {
        var names = RecentNames(capacity: 4)
        for number in 0..<6 { names.insert(try name("n\(number)")) }
        #expect(try names.contains(name("n0")) && names.contains(name("n5")))
        for number in 6..<50 {
            names.insert(try name("n\(number)"))
            #expect(names.count <= 8)
        }
        #expect(try !names.contains(name("n0")) && names.contains(name("n49")))
    }

    @Test func `a name costs what its characters below the zone can say, and a known one what its choice can`() throws {
        let long = try name(String(repeating: "a", count: 60))
        // 61 bytes below the zone on the wire, 2/3 byte each, one for the type, two for the moment.
        #expect(WildcardBudget.cost(of: long, type: 1, below: zone, isKnown: false) == 41 + 1 + 2)
        #expect(WildcardBudget.cost(of: long, type: 28, below: zone, isKnown: true) == 4)
        #expect(WildcardBudget.cost(of: long, type: 16, below: zone, isKnown: true) == 4 + 512)
    }

    @Test func `what names can say is never more than they cost`() throws {
        // 39 characters: of n of them, log2(39) * n bits.
        for length in 1...63 {
            let cost = WildcardBudget.cost(
                of: try name(String(repeating: "a", count: length)), type: 1, below: zone, isKnown: false)
            #expect(Double(cost - WildcardBudget.timing) * 8 >= Double(length) * 5.2855 + 4)
        }
    }

    @Test func `a tunnel under a wildcard gets its burst, then the rate; names that are asked again cost little`()
        throws
    {
        var budget = WildcardBudget(bytesPerMinute: 512, burst: 2048)
        var leaked: UInt64 = 0
        for second in 0..<600 {
            for query in 0..<10 {
                let name = try name("q\(second)-\(query)-" + String(repeating: "x", count: 40))
                if budget.admit(name, type: 1, below: zone, now: UInt64(second) * 1000) {
                    leaked += WildcardBudget.cost(of: name, type: 1, below: zone, isKnown: false)
                }
            }
        }
        #expect(leaked <= 2048 + 512 * 10 && leaked > 512 * 9)

        // Forty hashed bucket names at once, and each again every minute in both types, for an hour.
        var fresh = WildcardBudget(bytesPerMinute: 512, burst: 2048)
        let buckets = try (0..<40).map { try name("bucket-7f3a9c1e5b2d8046-\(String($0, radix: 16))") }
        for minute in 0..<60 {
            for (index, bucket) in buckets.enumerated() {
                for type: UInt16 in [1, 28] {
                    let now = UInt64(minute) * 60_000 + UInt64(index) * 100
                    let admitted = fresh.admit(bucket, type: type, below: zone, now: now)
                    #expect(admitted, "minute \(minute)")
                }
            }
        }
    }

    @Test func `every wildcard has its own budget, and below a top-level domain every owner`() throws {
        let other = try DomainName("other.example"), com = try DomainName("com")
        var budget = WildcardBudget(bytesPerMinute: 10, burst: 40)
        let long = String(repeating: "a", count: 40)
        let asked: [(name: String, zone: DomainName, isAdmitted: Bool)] = [
            (long + ".zone.example", zone, true), ("b" + long + ".zone.example", zone, false),
            (long + ".other.example", other, true), (long + ".one.com", com, true),
            ("b" + long + ".one.com", com, false),
            (long + ".two.com", com, true),
        ]
        for (text, zone, isAdmitted) in asked {
            let admitted = budget.admit(try DomainName(text), type: 1, below: zone, now: 0)
            #expect(admitted == isAdmitted, "\(text)")
        }
    }

    @Test func `more zones than there is room for share one budget`() throws {
        var budget = WildcardBudget(bytesPerMinute: 1, burst: 20)
        let com = try DomainName("com")
        var admitted = 0
        for number in 0..<2000 where budget.admit(try DomainName("aaaa.z\(number).com"), type: 1, below: com, now: 0) {
            admitted += 1
        }
        #expect(admitted >= WildcardBudget.maximumZones && admitted < WildcardBudget.maximumZones + 5)
        // When budgets are full again there is room again.
        for text in ["aaaa.new.com", "aaaa.newer.com"] {
            let isAdmitted = budget.admit(try DomainName(text), type: 1, below: com, now: 3_600_000)
            #expect(isAdmitted, "\(text)")
        }
    }

    @Test func `a refusal names its budget, and what is off refuses nothing`() throws {
        var settings = EgressBudgets.none
        var none = NameBudgets(settings, now: 0)
        let refusedByNone = (0..<10_000).count { _ in none.admitQuery(now: 0) != nil }
        #expect(refusedByNone == 0)
        settings.queriesPerSecond = 2
        settings.distinctNamesPerHour = 1
        settings.wildcardBytesPerMinute = 1
        settings.wildcardBurst = 1
        var budgets = NameBudgets(settings, now: 0)
        let queries = (0..<5).map { _ in budgets.admitQuery(now: 0)?.text }
        #expect(queries == [nil, nil, nil, nil, "the budget queriesPerSecond is used up: 2 queries a second"])
        let names = try ["a", "b"].map { budgets.admit(try name($0), now: 0)?.budget }
        #expect(names == [nil, .names])
        let wildcard = budgets.admit(try name("a"), type: 1, below: zone, now: 0)?.text
        #expect(
            wildcard == "the budget wildcardBytesPerMinute is used up: 1 bytes a minute in new names below zone.example"
        )
    }
}
