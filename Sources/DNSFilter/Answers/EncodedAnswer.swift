import NetworkPolicy

/// An answer's records as they stand in a message after its question. To give an answer again is to copy them, and to take
/// its age off their TTLs.
struct EncodedAnswer: Hashable, Sendable {
    var code: ResponseCode
    private(set) var answers: UInt16 = 0
    private(set) var authorities: UInt16 = 0
    private(set) var bytes: [UInt8] = []
    /// Where the TTLs stand in them.
    private var lifetimes: [Int32] = []

    /// No records.
    init(code: ResponseCode) { self.code = code }

    /// - Parameter question: the name that is asked for; it stands at offset 12 of every message.
    init(_ answer: Answer, question: DomainName) {
        code = answer.code
        answers = UInt16(truncatingIfNeeded: answer.records.count)
        authorities = answer.authority == nil ? 0 : 1
        guard !answer.records.isEmpty || answer.authority != nil else { return }
        let records = answer.records.count + Int(authorities)
        let most = answer.records.reduce(answer.authority?.longestEncoding ?? 0) { $0 + $1.longestEncoding }
        bytes.reserveCapacity(most)
        lifetimes.reserveCapacity(records)
        for record in answer.records { append(record, question.wire) }
        if let authority = answer.authority { append(authority, question.wire) }
    }

    private mutating func append(_ record: ResourceRecord, _ question: [UInt8]) {
        if record.owner == question { bytes.append(big: 0xc00c) } else { bytes += record.owner }
        bytes.append(big: record.type)
        bytes.append(big: 1)
        lifetimes.append(Int32(bytes.count))
        bytes.append(big: UInt16(record.ttl >> 16))
        bytes.append(big: UInt16(truncatingIfNeeded: record.ttl))
        bytes.append(big: UInt16(record.data.count))
        bytes += record.data
    }

    /// Writes the records behind a question, `elapsed` seconds after the answer came.
    func write(to message: inout [UInt8], elapsed: UInt32) {
        let start = message.count
        message += bytes
        guard elapsed > 0 else { return }
        for offset in lifetimes {
            let place = start + Int(offset)
            let ttl = message[place..<place + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let left = ttl > elapsed ? ttl - elapsed : 0
            for index in 0..<4 { message[place + index] = UInt8(truncatingIfNeeded: left >> (24 - 8 * UInt32(index))) }
        }
    }

    /// Bytes in memory, about.
    var size: Int { 2 * 32 + bytes.count + 4 * lifetimes.count }
}

extension ResourceRecord {
    /// Bytes: owner, type, class, TTL, length and data.
    fileprivate var longestEncoding: Int { owner.count + 10 + data.count }
}
