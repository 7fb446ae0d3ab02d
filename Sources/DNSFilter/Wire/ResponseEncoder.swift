import NetworkPolicy

/// Writes the answer to a sandbox.
enum ResponseEncoder {
    /// Extended DNS Error 15, "Blocked" (RFC 8914): the answer is the policy's, not the name's.
    private static let blocked: UInt16 = 15

    /// - Parameters:
    ///   - elapsed: seconds to take off every TTL.
    ///   - limit: bytes; a longer answer is cut to nothing with TC set, and the client comes back over TCP.
    ///   - explanation: for an Extended DNS Error, sent where the client speaks EDNS.
    static func encode(
        _ answer: Answer, to query: Query, elapsed: UInt32 = 0, limit: Int = 65535, explanation: String? = nil
    ) -> [UInt8] {
        let edns = query.hasEDNS ? ednsRecord(explanation) : []
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
        header(
            rejection.identifier, recursionDesired: false, rejection.code, question: !rejection.question.isEmpty,
            answers: 0,
            authorities: 0, hasEDNS: false) + rejection.question
    }

    private static func header(
        _ identifier: UInt16, recursionDesired: Bool, _ code: ResponseCode, question: Bool, answers: Int,
        authorities: Int,
        hasEDNS: Bool
    ) -> [UInt8] {
        [
            UInt8(identifier >> 8), UInt8(truncatingIfNeeded: identifier), 0x80 | (recursionDesired ? 1 : 0),
            0x80 | code.rawValue, 0, question ? 1 : 0, UInt8(answers >> 8), UInt8(answers & 0xff), 0,
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

    private static func ednsRecord(_ explanation: String?) -> [UInt8] {
        var options: [UInt8] = []
        if let explanation {
            let text = Array(explanation.utf8.prefix(200))
            options = [0, 15, 0, UInt8(2 + text.count), UInt8(blocked >> 8), UInt8(blocked & 0xff)] + text
        }
        return [
            0, 0, UInt8(RecordType.opt), UInt8(Query.largestPayload >> 8), UInt8(Query.largestPayload & 0xff), 0, 0, 0,
            0, 0,
            UInt8(options.count),
        ] + options
    }
}
