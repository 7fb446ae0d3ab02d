import NetworkPolicy

/// A well-formed query of a sandbox.
struct Query: Hashable, Sendable {
    var identifier: UInt16
    var recursionDesired: Bool
    var name: DomainName
    var type: UInt16
    /// The letter case of the name as asked. Answers repeat it, since clients may check.
    var letters = LetterCase()
    /// The longest UDP answer that the client takes; 512 without EDNS (RFC 6891).
    var payloadLimit: Int
    var hasEDNS: Bool
}

/// The answer to a message that is not an acceptable query.
struct QueryRejection: Error, Hashable, Sendable {
    var identifier: UInt16
    var recursionDesired = false
    var code: ResponseCode
    /// The question, if it could be read.
    var question: [UInt8]
    var hasEDNS = false
    /// Sent if the client uses EDNS.
    var error: ExtendedError?
}

extension Query {
    /// The length of a header, the shortest message.
    static let headerLength = 12
    /// RFC 9715: the longest answer over UDP, so that none is fragmented.
    static let maxPayload = 1232

    /// Buffers for parsing queries one after another. Name and question reuse those of the previous query unless
    /// somebody kept it.
    struct Memory {
        fileprivate var name: [UInt8] = []
        fileprivate var question: [UInt8] = []
    }

    static func parse(_ bytes: UnsafeRawBufferPointer) -> Result<Query, QueryRejection>? {
        var memory = Memory()
        return parse(bytes, reusing: &memory)
    }

    /// Reads a message.
    /// - Returns: nil for what is not even a query (too short, a response), which gets no answer.
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
        do throws(DNSMessageError) {
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
                    // NXDOMAIN for the root would mean that no name exists (RFC 8020).
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

    /// The only additional record may be OPT. Its options are dropped, so nothing can be tunnelled in them.
    /// - Returns: the version of EDNS.
    private mutating func readEDNS(_ reader: inout MessageReader) throws(DNSMessageError) -> UInt8 {
        // OPT's owner is the root (RFC 6891, section 6.1.2).
        guard try reader.byte() == 0, try reader.number16() == RecordType.opt else { throw .badCount }
        let size = Int(try reader.number16())
        let flags = try reader.number32()
        try reader.skip(Int(try reader.number16()))
        hasEDNS = true
        payloadLimit = min(max(size, 512), Self.maxPayload)
        return UInt8(truncatingIfNeeded: flags >> 16)
    }

    /// The query to send upstream, rebuilt from what was parsed; no other bytes of the sandbox are forwarded. It has
    /// one question, in the letter case of `spelling` (0: lower), recursion desired, and an EDNS record without
    /// options: 1232 bytes (RFC 9715), no DNSSEC.
    static func forwardedBytes(name: DomainName, type: UInt16, identifier: UInt16, spelling: UInt64 = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(headerLength + name.wire.count + 15)
        writeForwarded(name: name, type: type, identifier: identifier, spelling: spelling, to: &bytes)
        return bytes
    }

    /// The same, into an empty array.
    static func writeForwarded(
        name: DomainName, type: UInt16, identifier: UInt16, spelling: UInt64, to bytes: inout [UInt8]
    ) {
        bytes.append(big: identifier)
        let recursionDesired: UInt16 = 0x0100
        bytes.append(big: recursionDesired)
        // Counts: one question, no answers, no authorities, one additional record.
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
        bytes.append(big: UInt16(maxPayload))
        // Version and flags, and no options.
        for _ in 0..<3 { bytes.append(big: 0) }
    }

    /// A copy that shares no buffer, for a query that has to wait.
    var detached: Query {
        var query = self
        query.name = name.detached
        return query
    }

    /// The question as it was asked, with its letter case.
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

    /// Overwrites two bytes.
    mutating func put(big number: UInt16, at place: Int) {
        self[place] = UInt8(number >> 8)
        self[place + 1] = UInt8(truncatingIfNeeded: number)
    }
}
