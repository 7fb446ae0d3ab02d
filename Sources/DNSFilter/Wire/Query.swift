import NetworkPolicy

/// A query of a sandbox, read and found fit to be judged.
struct Query: Hashable, Sendable {
    var identifier: UInt16
    var recursionDesired: Bool
    var name: DomainName
    var type: UInt16
    /// The name's letters as they were asked for: answers repeat them, since clients may check it.
    var letters = LetterCase()
    /// What a UDP answer may be long; 512 without EDNS (RFC 6891).
    var payloadLimit: Int
    var hasEDNS: Bool
}

/// What came in instead of a query, and what is answered to it.
struct QueryRejection: Error, Hashable, Sendable {
    var identifier: UInt16
    var recursionDesired = false
    var code: ResponseCode
    /// The question, where it could be read.
    var question: [UInt8]
    var hasEDNS = false
    /// Told where the client speaks EDNS.
    var error: ExtendedError?
}

extension Query {
    /// The shortest message: a header.
    static let headerLength = 12
    /// RFC 9715: no answer over UDP is longer, so that none is fragmented.
    static let largestPayload = 1232

    /// The memory of queries that are read one after the other: a name and a question are read into that of the query
    /// before, unless somebody kept it.
    struct Memory {
        fileprivate var name: [UInt8] = []
        fileprivate var question: [UInt8] = []
    }

    static func parse(_ bytes: UnsafeRawBufferPointer) -> Result<Query, QueryRejection>? {
        var memory = Memory()
        return parse(bytes, reusing: &memory)
    }

    /// Reads a message.
    /// - Returns: nil for what is not even a query (too short, a response): it gets no answer at all.
    static func parse(
        _ bytes: UnsafeRawBufferPointer, reusing memory: inout Memory
    ) -> Result<Query, QueryRejection>? {
        guard bytes.count >= headerLength, bytes[2] & 0x80 == 0 else { return nil }
        let identifier = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
        var rejection = QueryRejection(
            identifier: identifier, recursionDesired: bytes[2] & 1 != 0, code: .formatError, question: [])
        guard bytes[2] >> 3 & 0xf == 0 else {
            rejection.code = .notImplemented
            return .failure(rejection)
        }
        var reader = MessageReader(bytes)
        do throws(MessageError) {
            _ = try reader.number32()
            let counts = (try reader.number16(), try reader.number16(), try reader.number16(), try reader.number16())
            guard counts.0 == 1, counts.1 == 0, counts.2 == 0, counts.3 <= 1 else { return .failure(rejection) }
            memory.question.removeAll(keepingCapacity: true)
            try reader.readName(into: &memory.question)
            let type = try reader.number16(), kind = try reader.number16()
            let name = try? DomainName(wire: memory.question, reusing: &memory.name)
            let letters = name?.wire == memory.question ? LetterCase() : LetterCase(of: memory.question)
            memory.question.append(big: type)
            memory.question.append(big: kind)
            rejection.question = memory.question
            var query = Query(
                identifier: identifier, recursionDesired: bytes[2] & 1 != 0, name: .root, type: type, letters: letters,
                payloadLimit: 512, hasEDNS: false)
            var version: UInt8 = 0
            if counts.3 == 1 { version = try query.readEDNS(&reader) }
            rejection.hasEDNS = query.hasEDNS
            guard reader.isAtEnd else { return .failure(rejection) }
            guard version == 0 else {
                rejection.code = .badVersion
                return .failure(rejection)
            }
            let internet: UInt16 = 1
            guard kind == internet, let name else {
                rejection.code = kind == internet ? .nameError : .refused
                if kind == internet, memory.question.first == 0 {
                    // That the root does not exist would mean that nothing does (RFC 8020).
                    rejection.code = .refused
                    rejection.error = .blocked("policy: the root is not forwarded")
                }
                return .failure(rejection)
            }
            query.name = name
            return .success(query)
        } catch {
            return .failure(rejection)
        }
    }

    /// The one additional record may only be OPT; its options are dropped, which leaves nothing to tunnel through.
    /// - Returns: the version of EDNS.
    private mutating func readEDNS(_ reader: inout MessageReader) throws(MessageError) -> UInt8 {
        // The root, as it is (RFC 6891, section 6.1.2).
        guard try reader.byte() == 0, try reader.number16() == RecordType.opt else { throw .badCount }
        let size = Int(try reader.number16())
        let flags = try reader.number32()
        try reader.skip(Int(try reader.number16()))
        hasEDNS = true
        payloadLimit = min(max(size, 512), Self.largestPayload)
        return UInt8(truncatingIfNeeded: flags >> 16)
    }

    /// The query as it goes upstream: rebuilt from what was understood, and nothing else of the sandbox's bytes.
    /// One question, its letters in the case that `spelling` says (0: lower), recursion desired, an EDNS record without
    /// options: 1232 bytes (RFC 9715), no DNSSEC.
    static func forwardedBytes(name: DomainName, type: UInt16, identifier: UInt16, spelling: UInt64 = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(headerLength + name.wire.count + 15)
        writeForwarded(name: name, type: type, identifier: identifier, spelling: spelling, to: &bytes)
        return bytes
    }

    /// The same into an array that is empty.
    static func writeForwarded(
        name: DomainName, type: UInt16, identifier: UInt16, spelling: UInt64, to bytes: inout [UInt8]
    ) {
        bytes.append(big: identifier)
        let recursionDesired: UInt16 = 0x0100
        bytes.append(big: recursionDesired)
        // One question, no answers, no authorities, one additional record.
        bytes.append(big: 1)
        bytes.append(big: 0)
        bytes.append(big: 0)
        bytes.append(big: 1)
        bytes += name.wire
        if spelling != 0 {
            QuestionSpelling.apply(spelling, to: &bytes, from: headerLength, count: name.wire.count)
        }
        bytes.append(big: type)
        bytes.append(big: 1)
        bytes.append(0)
        bytes.append(big: RecordType.opt)
        bytes.append(big: UInt16(largestPayload))
        // Version and flags, and no options.
        for _ in 0..<3 { bytes.append(big: 0) }
    }

    /// A copy in memory of its own, for what waits.
    var detached: Query {
        var query = self
        query.name = name.detached
        return query
    }

    /// The question as it was asked, case included.
    var question: [UInt8] {
        var bytes: [UInt8] = []
        writeQuestion(to: &bytes)
        return bytes
    }

    func writeQuestion(to bytes: inout [UInt8]) {
        let start = bytes.count
        bytes += name.wire
        letters.apply(to: &bytes, from: start)
        bytes.append(big: type)
        bytes.append(big: 1)
    }
}

extension [UInt8] {
    /// In network byte order.
    mutating func append(big number: UInt16) {
        append(UInt8(number >> 8))
        append(UInt8(truncatingIfNeeded: number))
    }

    /// In the place of two bytes that are there.
    mutating func put(big number: UInt16, at place: Int) {
        self[place] = UInt8(number >> 8)
        self[place + 1] = UInt8(truncatingIfNeeded: number)
    }
}
