import Addresses
import NetworkPolicy

/// The answer to a question, as the cache keeps it and as sandboxes are given it.
struct Answer: Hashable, Sendable {
    var code: ResponseCode
    var records: [ResourceRecord] = []
    /// The SOA of a negative answer.
    var authority: ResourceRecord?

    static let serverFailure = Answer(code: .serverFailure)
    static let empty = Answer(code: .noError)

    /// The longest chain of aliases that is followed.
    static let maxChain = 16
    /// Addresses used from one answer. Each must be learned on the thread that serves all sandboxes.
    static let maxAddresses = 256

    /// Takes from a response what answers its question: the chain of aliases that starts there, and the records of the
    /// asked type at its end. Records of other owners are ignored (docs/threats.md, E20).
    init(_ response: UpstreamResponse, name: DomainName, type: UInt16) {
        switch ResponseCode(rawValue: response.code) {
        case .noError?: code = .noError
        case .nameError?: code = .nameError
        default:
            self = .serverFailure
            return
        }
        var owner = name.wire
        // Fast path: usually every record belongs to the question.
        if code == .noError, (1...Self.maxAddresses).contains(response.answers.count),
            response.answers.allSatisfy({ $0.type == type && $0.owner == owner })
        {
            records = response.answers
            limitLifetimes()
            return
        }
        while records.count < Self.maxChain {
            let before = records.count
            let most = type == RecordType.a || type == RecordType.aaaa ? Self.maxAddresses : .max
            records += response.answers.lazy.filter { $0.type == type && $0.owner == owner }.prefix(most)
            if records.count > before {
                // A name that does not exist has no records.
                guard code == .noError else { break }
                limitLifetimes()
                return
            }
            guard let alias = response.answers.first(where: { $0.owner == owner && $0.type == RecordType.cname }),
                (try? DomainName(wire: alias.data)) != nil, alias.data != name.wire,
                !records.contains(where: { $0.data == alias.data })
            else {
                authority = response.authority.flatMap { Self.isAtOrAbove($0.owner, owner) ? $0 : nil }
                limitLifetimes()
                return
            }
            records.append(alias)
            owner = alias.data
        }
        // A chain that does not end counts as a failure.
        self = .serverFailure
    }

    /// Whether a wire name equals another one or is a zone above it. Only such a SOA applies to the name.
    private static func isAtOrAbove(_ zone: [UInt8], _ name: [UInt8]) -> Bool {
        var start = 0
        while name.count - start > zone.count { start += 1 + Int(name[start]) }
        return name[start...].elementsEqual(zone)
    }

    /// The sandbox, the cache and the kernel must all use the same lifetime.
    private mutating func limitLifetimes() {
        if records.contains(where: { $0.ttl > Self.maxLifetime }) {
            for index in records.indices { records[index].ttl = min(records[index].ttl, Self.maxLifetime) }
        }
        // RFC 2308, section 5: the SOA's TTL is the lifetime of the negative answer.
        if let negative = authority?.negativeLifetime {
            authority!.ttl = min(negative, Self.maxNegativeLifetime)
        }
    }

    init(code: ResponseCode) { self.code = code }

    /// The answer without the addresses that this sandbox may not be given. If none is left, its aliases go as well.
    func filtered(_ permits: (IPAddress) -> Bool) -> Answer {
        let isKept = { (record: ResourceRecord) in record.address.map(permits) ?? true }
        guard !records.allSatisfy(isKept) else { return self }
        let kept = records.filter(isKept)
        var answer = self
        answer.records = kept.contains { $0.type != RecordType.cname } ? kept : []
        return answer
    }

    /// The names by way of which it came to its records, in order. Most answers have none.
    var aliases: [DomainName] {
        guard records.first?.type == RecordType.cname else { return [] }
        return records.lazy.filter { $0.type == RecordType.cname }.compactMap { try? DomainName(wire: $0.data) }
    }

    /// As many as are told of addresses that were taken out.
    private static let mostRemoved = 8

    /// Addresses that a filtered answer has no more, the first few.
    func removed(in told: Answer) -> [IPAddress] {
        let kept = Set(told.records.lazy.compactMap(\.address))
        return Array(records.lazy.compactMap(\.address).filter { !kept.contains($0) }.prefix(Self.mostRemoved))
    }

    /// Its addresses with their remaining lifetimes, `age` seconds after the answer came.
    func addresses(after age: UInt32) -> [LearnedAddress] {
        var addresses: [LearnedAddress] = []
        write(after: age, to: &addresses)
        return addresses
    }

    /// The same, into an empty array.
    func write(after age: UInt32, to addresses: inout [LearnedAddress]) {
        for record in records {
            guard let address = record.address else { continue }
            addresses.append(LearnedAddress(address: address, lifetime: record.ttl > age ? record.ttl - age : 0))
        }
    }

    var addresses: [LearnedAddress] { addresses(after: 0) }
    var addressCount: Int { records.count { $0.address != nil } }

    /// Seconds for which the answer may be cached: its lowest TTL, including the SOA's (`limitLifetimes`) if it is
    /// negative. A negative answer without SOA is not cached (RFC 2308, section 5).
    func lifetime(isNegative: Bool) -> UInt32 {
        guard code != .serverFailure else { return 0 }
        let least = records.lazy.map(\.ttl).min()
        guard isNegative else { return least ?? 0 }
        guard let authority, authority.negativeLifetime != nil else { return 0 }
        return min(least ?? .max, authority.ttl)
    }

    /// The same answer, with equal names sharing the memory of this one: for answers that are kept.
    func sharing(_ name: DomainName) -> Answer {
        var answer = self
        for index in records.indices where records[index].owner == name.wire { answer.records[index].owner = name.wire }
        return answer
    }

    /// Whether it has no record of a type.
    func isNegative(type: UInt16) -> Bool { !records.contains { $0.type == type } }

    /// A day. Negative answers are kept for less than the hours that RFC 2308 suggests, since names that were just
    /// created are asked for soon.
    static let maxLifetime: UInt32 = 86400
    static let maxNegativeLifetime: UInt32 = 900
}
