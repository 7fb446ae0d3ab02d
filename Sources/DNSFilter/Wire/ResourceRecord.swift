import Addresses
import NetworkPolicy

/// A record of an answer, with uncompressed names in its data.
struct ResourceRecord: Hashable, Sendable {
    /// In lower case.
    var owner: [UInt8]
    var type: UInt16
    /// Seconds.
    var ttl: UInt32
    var data: [UInt8]

    /// For a SOA, the lifetime of the zone's negative answers: the last field of its data (RFC 2308, section 4).
    var negativeLifetime: UInt32? {
        guard type == RecordType.soa, data.count >= 22 else { return nil }
        return min(ttl, data.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
    }

    /// The address of an A or AAAA record.
    var address: IPAddress? {
        switch (type, data.count) {
        case (RecordType.a, 4): .v4(IPv4Address(rawValue: UInt32(truncatingIfNeeded: number(data[...]))))
        case (RecordType.aaaa, 16): .v6(IPv6Address(high: number(data[..<8]), low: number(data[8...])))
        default: nil
        }
    }

    private func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
}

/// A parsed response of an upstream.
struct UpstreamResponse: Hashable, Sendable {
    var identifier: UInt16
    var code: UInt8
    var isTruncated: Bool
    /// As received, with its letter case.
    var questionName: [UInt8]
    /// The name that was asked for; nil if it is no name that the filter asks for. The root is one, since probes ask
    /// for it.
    var canonicalName: DomainName?
    var questionType: UInt16
    var answers: [ResourceRecord]
    /// The zone's SOA in a negative answer, which says how long to cache it (RFC 2308).
    var authority: ResourceRecord?

    /// The most records in a message. 64 KiB over TCP could hold more than anybody needs.
    static let maxRecords = 1024

    /// Buffers for parsing responses one after another. Names and records reuse those of the previous response unless
    /// somebody kept it.
    struct Memory {
        fileprivate var question: [UInt8] = []
        fileprivate var name: [UInt8] = []
        fileprivate var owner: [UInt8] = []
        fileprivate var records: [ResourceRecord] = []
    }

    /// - Throws: `DNSMessageError` if it is not a well-formed response with one question.
    init(_ bytes: UnsafeRawBufferPointer) throws(DNSMessageError) {
        var memory = Memory()
        try self.init(bytes, reusing: &memory)
    }

    /// The same, reusing the caller's buffers.
    init(_ bytes: UnsafeRawBufferPointer, reusing memory: inout Memory) throws(DNSMessageError) {
        var reader = MessageReader(bytes)
        identifier = try reader.number16()
        let flags = try reader.number16()
        guard flags & 0x8000 != 0 else { throw .badCount }
        code = UInt8(flags & 0xf)
        isTruncated = flags & 0x0200 != 0
        guard try reader.number16() == 1 else { throw .badCount }
        let answerCount = try reader.number16(), authorityCount = try reader.number16()
        _ = try reader.number16()
        // First, since records may share the name's buffer.
        memory.records.removeAll(keepingCapacity: true)
        memory.question.removeAll(keepingCapacity: true)
        try reader.readName(into: &memory.question)
        questionName = memory.question
        canonicalName = questionName == [0] ? .root : try? DomainName(wire: questionName, reusing: &memory.name)
        questionType = try reader.number16()
        guard try reader.number16() == 1 else { throw .badCount }
        guard Int(answerCount) + Int(authorityCount) <= Self.maxRecords else { throw .badCount }
        for _ in 0..<answerCount {
            if let record = try Self.record(&reader, canonicalName, &memory) { memory.records.append(record) }
        }
        answers = memory.records
        for _ in 0..<authorityCount {
            guard let record = try Self.record(&reader, canonicalName, &memory) else { continue }
            if record.type == RecordType.soa, authority == nil { authority = record }
        }
    }

    /// Reads a record; nil for a class other than IN.
    private static func record(
        _ reader: inout MessageReader, _ question: DomainName?, _ memory: inout Memory
    ) throws(DNSMessageError) -> ResourceRecord? {
        memory.owner.removeAll(keepingCapacity: true)
        try reader.readName(into: &memory.owner)
        lowerCase(&memory.owner)
        // Usually the owner is the name that was asked for.
        let owner =
            question.flatMap { $0.wire == memory.owner ? $0.wire : nil }
            ?? memory.owner.withUnsafeBufferPointer { Array($0) }
        let type = try reader.number16(), kind = try reader.number16(), ttl = try reader.number32()
        let length = Int(try reader.number16())
        let end = reader.position + length
        let data: [UInt8]
        // Convert names to lower case: compressed ones have the random case of our question.
        switch type {
        case RecordType.ns, RecordType.cname, RecordType.ptr: data = lowercased(try reader.nameBytes())
        case RecordType.mx: data = try reader.take(2) + lowercased(reader.nameBytes())
        case RecordType.srv: data = try reader.take(6) + lowercased(reader.nameBytes())
        case RecordType.soa:
            data = try lowercased(reader.nameBytes()) + lowercased(reader.nameBytes()) + reader.take(20)
        default: data = try reader.take(length)
        }
        guard reader.position == end else { throw .badCount }
        // A TTL with its top bit set counts as zero (RFC 2181, section 8).
        return kind == 1
            ? ResourceRecord(owner: owner, type: type, ttl: ttl > UInt32(Int32.max) ? 0 : ttl, data: data) : nil
    }

    static func lowercased(_ name: consuming [UInt8]) -> [UInt8] {
        lowerCase(&name)
        return name
    }

    /// Label lengths are below 64, so they are never taken for letters.
    private static func lowerCase(_ name: inout [UInt8]) {
        for index in name.indices where (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(name[index]) {
            name[index] |= 0x20
        }
    }
}
