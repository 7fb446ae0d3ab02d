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
        var message: [UInt8] = []
        write(
            EncodedAnswer(answer, question: query.name), to: query, elapsed: elapsed, limit: limit, error: error,
            into: &message)
        return message
    }

    /// The same of an answer that is encoded already, into an array that is empty.
    static func write(
        _ answer: EncodedAnswer, to query: Query, elapsed: UInt32, limit: Int, error: @autoclosure () -> ExtendedError?,
        into message: inout [UInt8]
    ) {
        let error = query.hasEDNS ? error() : nil
        let length =
            Query.headerLength + query.question.count + answer.bytes.count
            + (query.hasEDNS ? emptyEDNSLength + (error?.optionLength ?? 0) : 0)
        let fits = length <= limit
        writeHeader(
            query.identifier, recursionDesired: query.recursionDesired, answer.code, question: true,
            answers: fits ? answer.answers : 0, authorities: fits ? answer.authorities : 0, hasEDNS: query.hasEDNS,
            to: &message)
        message += query.question
        if fits { answer.write(to: &message, elapsed: elapsed) } else { message[2] |= 0x02 }
        if query.hasEDNS { writeEDNS(fits ? error : nil, to: &message) }
    }

    static func encode(_ rejection: QueryRejection) -> [UInt8] {
        var message: [UInt8] = []
        write(rejection, into: &message)
        return message
    }

    static func write(_ rejection: QueryRejection, into message: inout [UInt8]) {
        let hasEDNS = rejection.code == .badVersion
        writeHeader(
            rejection.identifier, recursionDesired: false, rejection.code, question: !rejection.question.isEmpty,
            answers: 0, authorities: 0, hasEDNS: hasEDNS, to: &message)
        message += rejection.question
        if hasEDNS { writeEDNS(nil, upperCode: rejection.code.rawValue >> 4, to: &message) }
    }

    private static func writeHeader(
        _ identifier: UInt16, recursionDesired: Bool, _ code: ResponseCode, question: Bool, answers: UInt16,
        authorities: UInt16, hasEDNS: Bool, to message: inout [UInt8]
    ) {
        message.append(big: identifier)
        message.append(0x80 | (recursionDesired ? 1 : 0))
        message.append(0x80 | code.rawValue & 0xf)
        message.append(big: question ? 1 : 0)
        message.append(big: answers)
        message.append(big: authorities)
        message.append(big: hasEDNS ? 1 : 0)
    }

    private static let emptyEDNSLength = 11

    /// Our own OPT record: the flag for DNSSEC is clear, since no signature is ever forwarded.
    private static func writeEDNS(_ error: ExtendedError?, upperCode: UInt8 = 0, to message: inout [UInt8]) {
        message.append(0)
        message.append(big: RecordType.opt)
        message.append(big: UInt16(Query.largestPayload))
        message.append(upperCode)
        message.append(0)
        message.append(big: 0)
        message.append(big: UInt16(error?.optionLength ?? 0))
        error?.writeOption(to: &message)
    }
}
