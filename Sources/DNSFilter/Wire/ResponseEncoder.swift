import NetworkPolicy

/// Writes the answer to a sandbox.
enum ResponseEncoder {
    /// - Parameters:
    ///   - elapsed: seconds to take off every TTL.
    ///   - limit: bytes; a longer answer is cut to nothing with TC set, and the client comes back over TCP.
    ///   - error: sent where the client speaks EDNS.
    static func encode(
        _ answer: Answer, to query: Query, elapsed: UInt32 = 0, limit: Int = 65535, error: ExtendedError? = nil
    ) -> [UInt8] {
        let edns = query.hasEDNS ? ednsRecord(error) : []
        var bytes = header(
            query.identifier, recursionDesired: query.recursionDesired, answer.code, question: true,
            answers: answer.records.count, authorities: answer.authority == nil ? 0 : 1, hasEDNS: query.hasEDNS)
        bytes += query.question
        for record in answer.records { append(record, elapsed, question: query.name.wire, to: &bytes) }
        if let authority = answer.authority { append(authority, elapsed, question: query.name.wire, to: &bytes) }
        bytes += edns
        guard bytes.count > limit else { return bytes }
        var cut = header(
            query.identifier, recursionDesired: query.recursionDesired, answer.code, question: true, answers: 0,
            authorities: 0, hasEDNS: query.hasEDNS)
        cut[2] |= 0x02
        return cut + query.question + (query.hasEDNS ? ednsRecord(nil) : [])
    }

    static func encode(_ rejection: QueryRejection) -> [UInt8] {
        let hasEDNS = rejection.code == .badVersion
        return header(
            rejection.identifier, recursionDesired: false, rejection.code, question: !rejection.question.isEmpty,
            answers: 0, authorities: 0, hasEDNS: hasEDNS) + rejection.question
            + (hasEDNS ? ednsRecord(nil, upperCode: rejection.code.rawValue >> 4) : [])
    }

    private static func header(
        _ identifier: UInt16, recursionDesired: Bool, _ code: ResponseCode, question: Bool, answers: Int,
        authorities: Int,
        hasEDNS: Bool
    ) -> [UInt8] {
        [
            UInt8(identifier >> 8), UInt8(truncatingIfNeeded: identifier), 0x80 | (recursionDesired ? 1 : 0),
            0x80 | code.rawValue & 0xf, 0, question ? 1 : 0, UInt8(answers >> 8), UInt8(answers & 0xff), 0,
            UInt8(authorities), 0,
            hasEDNS ? 1 : 0,
        ]
    }

    private static func append(_ record: ResourceRecord, _ elapsed: UInt32, question: [UInt8], to bytes: inout [UInt8])
    {
        // The question's name stands at offset 12 of every message.
        bytes += record.owner == question ? [0xc0, 12] : record.owner
        let ttl = record.ttl > elapsed ? record.ttl - elapsed : 0
        for number in [record.type, 1, UInt16(ttl >> 16), UInt16(truncatingIfNeeded: ttl), UInt16(record.data.count)] {
            bytes += [UInt8(number >> 8), UInt8(truncatingIfNeeded: number)]
        }
        bytes += record.data
    }

    /// Our own OPT record: the flag for DNSSEC is clear, since no signature is ever forwarded.
    private static func ednsRecord(_ error: ExtendedError?, upperCode: UInt8 = 0) -> [UInt8] {
        let options = error?.option ?? []
        return [
            0, 0, UInt8(RecordType.opt), UInt8(Query.largestPayload >> 8), UInt8(Query.largestPayload & 0xff),
            upperCode,
            0, 0, 0, 0, UInt8(options.count),
        ] + options
    }
}
