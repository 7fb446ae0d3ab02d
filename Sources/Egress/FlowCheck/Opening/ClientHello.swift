import NetworkPolicy

/// The server name in the first message of a TLS connection (RFC 8446, section 4.1.2).
///
/// A more lenient server must not find another name in it, so duplicate, truncated and trailing parts are refused.
struct ClientHello: Hashable, Sendable {
    /// The one host name of its server_name extension (RFC 6066, section 3).
    var name: DomainName
    /// The length of the records that contain it, in bytes.
    var length: Int

    /// The longest message, in bytes. The largest in use, with post-quantum key shares and tickets, have 2 to 4 KiB.
    static let maximumLength = 12 << 10
    /// The most records that it may be split into.
    static let maximumRecords = 64

    private enum Kind {
        static let handshakeRecord: UInt8 = 22
        static let clientHello: UInt8 = 1
        static let serverName = 0
        /// encrypted_client_hello of RFC 9849, and of the drafts before it that were deployed (ESNI among them).
        static let encrypted: Set<Int> = [0xfe0d, 0xfe08, 0xfe09, 0xfe0a, 0xfe0b, 0xfe0c, 0xffce]
    }

    /// - Returns: nil if more bytes are needed.
    /// - Throws: as soon as the bytes cannot become an acceptable hello.
    static func parse(_ bytes: ArraySlice<UInt8>) throws(FlowRefusal) -> ClientHello? {
        var message: [UInt8] = []
        var reader = ByteReader(bytes)
        for _ in 0..<maximumRecords {
            guard let fragment = try record(&reader) else { return nil }
            message += fragment.bytes
            if let type = message.first, type != Kind.clientHello {
                throw .malformed("the TLS handshake begins with message \(type), not with a ClientHello")
            }
            guard message.count >= 4 else {
                if fragment.isCut { return nil }
                continue
            }
            let end = 4 + (Int(message[1]) << 16 | Int(message[2]) << 8 | Int(message[3]))
            guard end <= maximumLength else { throw .tooLong(limit: maximumLength) }
            guard message.count + fragment.missing <= end else {
                throw .malformed("something follows the TLS ClientHello in its record")
            }
            if message.count == end {
                let name = try serverName(message[4...])
                return ClientHello(name: name, length: bytes.count - reader.remaining.count)
            }
            if fragment.isCut { return nil }
        }
        throw .malformed("the TLS ClientHello is cut into more than \(maximumRecords) records")
    }

    /// A part of the message, and how many bytes of its record are missing.
    private struct Fragment {
        var bytes: ArraySlice<UInt8>
        var missing: Int
        var isCut: Bool { missing > 0 }
    }

    /// RFC 8446, section 5.1. Nil if the header is incomplete.
    private static func record(_ reader: inout ByteReader) throws(FlowRefusal) -> Fragment? {
        let start = reader.remaining
        if let type = start.first, type != Kind.handshakeRecord {
            throw .malformed("a TLS record of type \(type) comes before the ClientHello is complete")
        }
        guard let header = reader.take(5).map({ Array($0) }) else { return nil }
        guard header[1] == 3, (1...3).contains(header[2]) else {
            throw .malformed("the TLS record has no known version")
        }
        let length = Int(header[3]) << 8 | Int(header[4])
        guard (1...1 << 14).contains(length) else { throw .malformed("a TLS record has \(length) bytes") }
        let taken = min(length, reader.remaining.count)
        return Fragment(bytes: reader.take(taken)!, missing: length - taken)
    }

    private static func serverName(_ body: ArraySlice<UInt8>) throws(FlowRefusal) -> DomainName {
        var reader = ByteReader(body)
        guard let version = reader.number(bytes: 2), (0x0301...0x0303).contains(version), reader.take(32) != nil,
            let session = reader.vector(lengthBytes: 1), session.remaining.count <= 32,
            let suites = reader.vector(lengthBytes: 2), suites.remaining.count >= 2, suites.remaining.count % 2 == 0,
            let compressions = reader.vector(lengthBytes: 1), !compressions.isAtEnd
        else { throw .malformed("the TLS ClientHello is not one of TLS 1.0 to 1.3") }
        if reader.isAtEnd { throw .noServerName }
        guard var extensions = reader.vector(lengthBytes: 2), reader.isAtEnd else {
            throw .malformed("the extensions of the TLS ClientHello do not end with it")
        }
        var name: DomainName?
        var isEncrypted = false
        var seen: Set<Int> = []
        while !extensions.isAtEnd {
            guard let type = extensions.number(bytes: 2), let content = extensions.vector(lengthBytes: 2) else {
                throw .malformed("an extension of the TLS ClientHello is cut off")
            }
            guard seen.insert(type).inserted else {
                throw .malformed("the TLS ClientHello has extension \(type) twice")
            }
            if type == Kind.serverName { name = try hostName(content) }
            if Kind.encrypted.contains(type) { isEncrypted = true }
        }
        if isEncrypted { throw .encryptedServerName }
        guard let name else { throw .noServerName }
        return name
    }

    private static func hostName(_ content: ByteReader) throws(FlowRefusal) -> DomainName {
        var content = content
        guard var list = content.vector(lengthBytes: 2), content.isAtEnd, let type = list.number(bytes: 1),
            let name = list.vector(lengthBytes: 2), list.isAtEnd
        else { throw .malformed("the server_name extension does not hold exactly one name") }
        guard type == 0 else { throw .malformed("the server_name extension holds no host name") }
        return try StatedName.parse(name.remaining)
    }
}

/// Reads the fields of a TLS structure (RFC 8446, section 3): numbers in network order and vectors that state their
/// length. Reads past the end return nil.
struct ByteReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    /// The unread bytes.
    var remaining: ArraySlice<UInt8> { rest }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard rest.count >= count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }

    /// - Parameter bytes: 1 to 4.
    mutating func number(bytes count: Int) -> Int? { take(count).map { $0.reduce(0) { $0 << 8 | Int($1) } } }

    /// A vector, preceded by its length in so many bytes.
    mutating func vector(lengthBytes count: Int) -> ByteReader? {
        number(bytes: count).flatMap { take($0) }.map { ByteReader($0) }
    }
}

/// A host name as a client states it in a ClientHello or an HTTP request.
enum StatedName {
    /// Stricter than the text of a rule: only A-labels, and no trailing dot. RFC 6066, section 3, forbids the dot, and
    /// some servers treat the name with it as a different host.
    static func parse(_ bytes: some Collection<UInt8>) throws(FlowRefusal) -> DomainName {
        guard bytes.count <= 253 else { throw .notAName("it has \(bytes.count) bytes") }
        guard bytes.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw .notAName("it has bytes that no host name has")
        }
        let text = String(decoding: bytes, as: UTF8.self)
        guard !text.hasSuffix(".") else { throw .notAName("it ends in a dot") }
        do throws(DomainNameError) {
            return try DomainName(text)
        } catch {
            throw .notAName("\(error)")
        }
    }
}
