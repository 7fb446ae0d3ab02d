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
    static let longestChain = 16

    /// Takes from a response what belongs to its question: the chain of aliases that starts there, and the records of
    /// the asked type at its end. Records of other owners are not believed (THREATS.md, E20).
    init(_ response: UpstreamResponse, name: DomainName, type: UInt16) {
        switch ResponseCode(rawValue: response.code) {
        case .noError?: code = .noError
        case .nameError?: code = .nameError
        default:
            self = .serverFailure
            return
        }
        authority = response.authority
        var owner = name.wire
        var seen: Set<[UInt8]> = [owner]
        while records.count < Self.longestChain {
            let found = response.answers.filter { $0.owner == owner && $0.type == type }
            if !found.isEmpty {
                records += found
                authority = nil
                return
            }
            guard let alias = response.answers.first(where: { $0.owner == owner && $0.type == RecordType.cname }),
                (try? DomainName(wire: alias.data)) != nil, seen.insert(alias.data).inserted
            else { return }
            records.append(alias)
            owner = alias.data
        }
        // A chain that does not end is no answer.
        self = .serverFailure
    }

    init(code: ResponseCode) { self.code = code }

    /// Without the addresses that a sandbox may not be told. A chain that led to refused addresses only is no use, either.
    func filtered(_ permits: (IPAddress) -> Bool) -> Answer {
        let kept = records.filter { $0.address.map(permits) ?? true }
        guard kept.count != records.count else { return self }
        var answer = self
        answer.records = kept.contains { $0.type != RecordType.cname } ? kept : []
        return answer
    }

    var addresses: [LearnedAddress] {
        records.compactMap { record in record.address.map { LearnedAddress(address: $0, lifetime: record.ttl) } }
    }

    /// Seconds that the answer may be kept: the least TTL, or for a negative one the SOA's (RFC 2308, section 5).
    var lifetime: UInt32 {
        guard code != .serverFailure else { return 0 }
        if let least = records.map(\.ttl).min() { return min(least, Self.longestLifetime) }
        guard let authority, authority.data.count >= 4 else { return 0 }
        let minimum = authority.data.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return min(authority.ttl, minimum, Self.longestNegativeLifetime)
    }

    private static let longestLifetime: UInt32 = 86400
    private static let longestNegativeLifetime: UInt32 = 300
}
