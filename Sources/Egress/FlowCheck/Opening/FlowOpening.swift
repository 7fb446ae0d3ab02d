import HTTPWire
import NetworkPolicy

/// Collects the first bytes of a flow until they state a name.
struct FlowOpening: Sendable {
    /// What the opening was.
    enum Said: Hashable, Sendable {
        case hello(ClientHello)
        case request(OpeningRequest)

        var name: DomainName {
            switch self {
            case .hello(let hello): hello.name
            case .request(let request): request.name
            }
        }
    }

    /// The most bytes that are examined.
    static let limit = 16 << 10

    private(set) var bytes: [UInt8] = []
    private var request = OpeningRequestReader()

    /// The protocol by the first byte; nil if there is none yet, or it fits neither.
    var kind: FlowProtocol? {
        guard let first = bytes.first else { return nil }
        if first == 22 { return .tls }
        return ASCII.isToken(first) ? .http : nil
    }

    /// The bytes after the opening.
    private(set) var rest: ArraySlice<UInt8> = []

    /// - Returns: nil where more bytes are needed.
    mutating func append(_ more: some Collection<UInt8>) throws(FlowRefusal) -> Said? {
        bytes += more
        guard !bytes.isEmpty else { return nil }
        switch kind {
        case nil: throw .neitherTLSNorHTTP
        case .tls:
            if let hello = try ClientHello.parse(bytes[...]) {
                rest = bytes[hello.length...]
                return .hello(hello)
            }
        case .http:
            if let request = try request.read(bytes) {
                rest = bytes[self.request.place...]
                return .request(request)
            }
        }
        guard bytes.count < Self.limit else { throw .tooLong(limit: Self.limit) }
        return nil
    }
}

/// The ClientHello after a HelloRetryRequest (RFC 8446, section 4.1.2), which must state the same name as the first. A
/// change_cipher_spec may come before it, and early data that the server skips.
struct SecondHello: Sendable {
    private(set) var bytes: [UInt8] = []
    private var start = 0

    /// - Returns: the name, or nil if more bytes are needed.
    mutating func append(_ more: some Collection<UInt8>) throws(FlowRefusal) -> DomainName? {
        bytes += more
        while bytes.count >= start + 5, bytes[start] == 20 || bytes[start] == 23 {
            let end = start + 5 + (Int(bytes[start + 3]) << 8 | Int(bytes[start + 4]))
            guard end <= bytes.count else { break }
            start = end
        }
        if bytes.count > start, bytes[start] != 20, bytes[start] != 23 {
            if let hello = try ClientHello.parse(bytes[start...]) { return hello.name }
        }
        guard bytes.count < FlowOpening.limit else { throw .tooLong(limit: FlowOpening.limit) }
        return nil
    }
}
