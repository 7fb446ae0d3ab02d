import NetworkPolicy

/// An answer's records in wire form, as they follow the question in a message. Repeating the answer means copying them
/// and subtracting its age from the TTLs.
struct EncodedAnswer: Hashable, Sendable {
    var code: ResponseCode
    private(set) var answerCount: UInt16 = 0
    private(set) var authorityCount: UInt16 = 0
    private(set) var bytes: [UInt8] = []
    /// The offsets of the TTLs.
    private var lifetimes: [Int32] = []

    /// No records.
    init(code: ResponseCode) { self.code = code }

    /// - Parameter question: the name that is asked for, which is at offset 12 of every message.
    init(_ answer: Answer, question: DomainName) {
        code = answer.code
        (answerCount, authorityCount) = (answer.answerCount, answer.authorityCount)
        guard !answer.records.isEmpty || answer.authority != nil else { return }
        let most = answer.records.reduce(answer.authority?.maxEncoding ?? 0) { $0 + $1.maxEncoding }
        bytes.reserveCapacity(most)
        lifetimes.reserveCapacity(answer.records.count + Int(authorityCount))
        for record in answer.records { append(record, question) }
        if let authority = answer.authority { append(authority, question) }
    }

    private mutating func append(_ record: ResourceRecord, _ question: DomainName) {
        let data = record.write(to: &bytes, question: question, elapsed: 0)
        lifetimes.append(Int32(data - 6))
    }

    /// Bytes in memory, about.
    var size: Int { 2 * 32 + bytes.count + 4 * lifetimes.count }
}

extension EncodedAnswer: WritableAnswer {
    func write(to message: inout [UInt8], question: DomainName, elapsed: UInt32) {
        let start = message.count
        message += bytes
        guard elapsed > 0 else { return }
        for offset in lifetimes {
            let place = start + Int(offset)
            let ttl = message[place..<place + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let left = ttl > elapsed ? ttl - elapsed : 0
            message.put(big: UInt16(left >> 16), at: place)
            message.put(big: UInt16(truncatingIfNeeded: left), at: place + 2)
        }
    }
}

/// An answer that is given only once is written directly.
extension Answer: WritableAnswer {
    var answerCount: UInt16 { UInt16(truncatingIfNeeded: records.count) }
    var authorityCount: UInt16 { authority == nil ? 0 : 1 }

    func write(to message: inout [UInt8], question: DomainName, elapsed: UInt32) {
        for record in records { record.write(to: &message, question: question, elapsed: elapsed) }
        authority?.write(to: &message, question: question, elapsed: elapsed)
    }
}

extension ResourceRecord {
    /// Bytes: owner, type, class, TTL, length and data.
    fileprivate var maxEncoding: Int { owner.count + 10 + data.count }

    /// - Returns: where its data begins.
    @discardableResult
    fileprivate func write(to message: inout [UInt8], question: DomainName, elapsed: UInt32) -> Int {
        if owner == question.wire { message.append(big: 0xc00c) } else { message += owner }
        message.append(big: type)
        message.append(big: 1)
        let left = ttl > elapsed ? ttl - elapsed : 0
        message.append(big: UInt16(left >> 16))
        message.append(big: UInt16(truncatingIfNeeded: left))
        message.append(big: UInt16(data.count))
        let start = message.count
        message += data
        return start
    }
}
