import NetworkPolicy

/// What is known of a question: the sandbox's answer, and what the cache keeps.
struct Answer: Hashable, Sendable {
    var code: ResponseCode
    var records: [ResourceRecord] = []
    /// The SOA of a negative answer.
    var authority: ResourceRecord?

    static let serverFailure = Answer(code: .serverFailure)
    static let empty = Answer(code: .noError)

    /// Names on the way from the question to its records are followed so far.
    static let maxChain = 16
    /// Addresses that are taken of one answer: each has to be learned while other sandboxes wait.
    static let maxAddresses = 256

    /// Takes from a response what belongs to its question: the chain of aliases that starts there, and the records of
    /// the asked type at its end. Records of other owners are not believed (docs/threats.md, E20).
    init(_ response: UpstreamResponse, name: DomainName, type: UInt16) {
        switch ResponseCode(rawValue: response.code) {
        case .noError?: code = .noError
        case .nameError?: code = .nameError
        default:
            self = .serverFailure
            return
        }
        var owner = name.wire
        // Nearly always all of it.
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
        // A chain that does not end is no answer.
        self = .serverFailure
    }

    /// Whether one wire name is another one or a zone above it: only such a SOA speaks for the name.
    private static func isAtOrAbove(_ zone: [UInt8], _ name: [UInt8]) -> Bool {
        var start = 0
        while name.count - start > zone.count { start += 1 + Int(name[start]) }
        return name[start...].elementsEqual(zone)
    }

    /// What a sandbox is told, what the cache keeps and what the kernel learns shall be the same time.
    private mutating func limitLifetimes() {
        if records.contains(where: { $0.ttl > Self.maxLifetime }) {
            for index in records.indices { records[index].ttl = min(records[index].ttl, Self.maxLifetime) }
        }
        // RFC 2308, section 5: the SOA goes out with the time for which the negative answer holds.
        if let negative = authority?.negativeLifetime {
            authority!.ttl = min(negative, Self.maxNegativeLifetime)
        }
    }

    init(code: ResponseCode) { self.code = code }

    /// Without the addresses that a sandbox may not be told. A chain that led to refused addresses only is no use, either.
    func filtered(_ permits: (IPAddress) -> Bool) -> Answer {
        let isKept = { (record: ResourceRecord) in record.address.map(permits) ?? true }
        guard !records.allSatisfy(isKept) else { return self }
        let kept = records.filter(isKept)
        var answer = self
        answer.records = kept.contains { $0.type != RecordType.cname } ? kept : []
        return answer
    }

    /// Its addresses, each with what is left of its time so many seconds after the answer came.
    func addresses(after age: UInt32) -> [LearnedAddress] {
        var addresses: [LearnedAddress] = []
        write(after: age, to: &addresses)
        return addresses
    }

    /// The same into an array that is empty.
    func write(after age: UInt32, to addresses: inout [LearnedAddress]) {
        for record in records {
            guard let address = record.address else { continue }
            addresses.append(LearnedAddress(address: address, lifetime: record.ttl > age ? record.ttl - age : 0))
        }
    }

    var addresses: [LearnedAddress] { addresses(after: 0) }
    var addressCount: Int { records.count { $0.address != nil } }

    /// Seconds that the answer may be kept: the least TTL, the SOA's (`limitLifetimes`) with it where the answer is
    /// negative. A negative answer without one is not kept (RFC 2308, section 5).
    func lifetime(isNegative: Bool) -> UInt32 {
        guard code != .serverFailure else { return 0 }
        let least = records.lazy.map(\.ttl).min()
        guard isNegative else { return least ?? 0 }
        guard let authority, authority.negativeLifetime != nil else { return 0 }
        return min(least ?? .max, authority.ttl)
    }

    /// The same with the memory of this name for the names that equal it, for what keeps answers for long.
    func sharing(_ name: DomainName) -> Answer {
        var answer = self
        for index in records.indices where records[index].owner == name.wire { answer.records[index].owner = name.wire }
        return answer
    }

    /// Whether it says that there is no record of a type.
    func isNegative(type: UInt16) -> Bool { !records.contains { $0.type == type } }

    /// A day, and what RFC 2308 finds sensible for negative answers, less: a name that was just made is asked for soon.
    static let maxLifetime: UInt32 = 86400
    static let maxNegativeLifetime: UInt32 = 900
}
