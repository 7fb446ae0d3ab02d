import NetworkPolicy

/// Records that can be written into a message after its question.
protocol WritableAnswer {
    var code: ResponseCode { get }
    var answerCount: UInt16 { get }
    var authorityCount: UInt16 { get }
    /// Writes the records, `elapsed` seconds after the answer came.
    /// - Parameter question: the name that is asked for, which is at offset 12 of every message.
    func write(to message: inout [UInt8], question: DomainName, elapsed: UInt32)
}

/// Encodes the answer to a sandbox.
enum ResponseEncoder {
    /// - Parameters:
    ///   - elapsed: seconds to subtract from every TTL.
    ///   - limit: in bytes. A longer answer is sent empty with TC set, so that the client asks again over TCP.
    ///   - error: sent if the client uses EDNS.
    static func encode(
        _ answer: Answer, to query: Query, elapsed: UInt32 = 0, limit: Int = 65535, error: ExtendedError? = nil
    ) -> [UInt8] {
        var message: [UInt8] = []
        write(answer, to: query, elapsed: elapsed, limit: limit, error: error, into: &message)
        return message
    }

    /// The same, into an empty array.
    static func write(
        _ answer: some WritableAnswer, to query: Query, elapsed: UInt32, limit: Int,
        error: @autoclosure () -> ExtendedError?, into message: inout [UInt8]
    ) {
        writeHeader(
            query.identifier, recursionDesired: query.recursionDesired, answer.code, question: true,
            answers: answer.answerCount, authorities: answer.authorityCount, hasEDNS: query.hasEDNS, to: &message)
        query.writeQuestion(to: &message)
        answer.write(to: &message, question: query.name, elapsed: elapsed)
        if query.hasEDNS { writeEDNS(error(), to: &message) }
        guard message.count > limit else { return }
        message.removeSubrange((Query.headerLength + query.name.wire.count + 4)...)
        message[2] |= 0x02
        message.put(big: 0, at: 6)
        message.put(big: 0, at: 8)
        if query.hasEDNS { writeEDNS(nil, to: &message) }
    }

    static func encode(_ rejection: QueryRejection) -> [UInt8] {
        var message: [UInt8] = []
        write(rejection, into: &message)
        return message
    }

    static func write(_ rejection: QueryRejection, into message: inout [UInt8]) {
        writeHeader(
            rejection.identifier, recursionDesired: rejection.recursionDesired, rejection.code,
            question: !rejection.question.isEmpty, answers: 0, authorities: 0, hasEDNS: rejection.hasEDNS, to: &message)
        message += rejection.question
        if rejection.hasEDNS {
            writeEDNS(rejection.error, upperCode: rejection.code.rawValue >> 4, to: &message)
        }
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

    /// Our own OPT record. DO is clear, since signatures are never forwarded.
    private static func writeEDNS(_ error: ExtendedError?, upperCode: UInt8 = 0, to message: inout [UInt8]) {
        message.append(0)
        message.append(big: RecordType.opt)
        message.append(big: UInt16(Query.maxPayload))
        message.append(upperCode)
        message.append(0)
        message.append(big: 0)
        let length = message.count
        message.append(big: 0)
        guard let error else { return }
        error.writeOption(to: &message)
        message.put(big: UInt16(message.count - length - 2), at: length)
    }
}
