/// One netlink request as bytes (RFC 3549): header, the family's fixed part, attributes. A value without I/O;
/// `NetlinkSocket` sends it.
struct NetlinkMessage: Sendable {
    static let headerLength = 16

    private(set) var bytes: [UInt8]

    /// - Parameter flags: NLM_F_… besides NLM_F_REQUEST.
    init(type: UInt16, flags: UInt16, body: [UInt8]) {
        bytes = [UInt8](repeating: 0, count: 4)
        append(type)
        append(flags | NetlinkFlag.request)
        bytes += [UInt8](repeating: 0, count: 8)
        bytes += body
        pad()
        sealLength(at: 0, as: UInt32.self)
    }

    var sequence: UInt32 {
        get { bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self) } }
        set { bytes.withUnsafeMutableBytes { $0.storeBytes(of: newValue, toByteOffset: 8, as: UInt32.self) } }
    }

    mutating func attribute(_ type: UInt16, _ payload: some Collection<UInt8>) {
        append(UInt16(4 + payload.count))
        append(type)
        bytes += payload
        pad()
        sealLength(at: 0, as: UInt32.self)
    }

    mutating func attribute(_ type: UInt16, _ number: some FixedWidthInteger) {
        attribute(type, Self.hostBytes(number))
    }

    mutating func attribute(_ type: UInt16, text: String) {
        attribute(type, Array(text.utf8) + [0])
    }

    mutating func nested(_ type: UInt16, _ fill: (inout NetlinkMessage) -> Void) {
        let start = bytes.count
        append(UInt16(0))
        append(type | NetlinkFlag.nested)
        fill(&self)
        sealLength(at: start, as: UInt16.self)
        sealLength(at: 0, as: UInt32.self)
    }

    /// Adds raw bytes inside `nested`, for another family's fixed part.
    mutating func raw(_ payload: [UInt8]) {
        bytes += payload
        pad()
    }

    static func hostBytes(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number) { Array($0) } }
    static func networkBytes(_ number: some FixedWidthInteger) -> [UInt8] { hostBytes(number.bigEndian) }

    private mutating func append(_ number: UInt16) { bytes += Self.hostBytes(number) }

    private mutating func pad() {
        bytes += [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
    }

    private mutating func sealLength<Length: FixedWidthInteger>(at offset: Int, as type: Length.Type) {
        let length = Length(truncatingIfNeeded: bytes.count - offset)
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: length, toByteOffset: offset, as: Length.self) }
    }
}

enum NetlinkFlag {
    static let request: UInt16 = 0x1
    static let acknowledge: UInt16 = 0x4
    static let dump: UInt16 = 0x300
    static let create: UInt16 = 0x400
    static let exclusive: UInt16 = 0x200
    static let replace: UInt16 = 0x100
    static let append: UInt16 = 0x800
    /// In a reply to a dump: the listed objects were changed during the dump.
    static let interrupted: UInt16 = 0x10
    /// In an attribute's type: its payload consists of attributes.
    static let nested: UInt16 = 0x8000
}

/// One message from the kernel.
struct NetlinkReply: Sendable {
    let type: UInt16
    let flags: UInt16
    let sequence: UInt32
    let payload: ArraySlice<UInt8>

    /// Splits the result of one recv into messages. A malformed rest is dropped.
    static func parse(_ bytes: ArraySlice<UInt8>) -> [NetlinkReply] {
        var replies: [NetlinkReply] = []
        var rest = bytes
        while rest.count >= NetlinkMessage.headerLength {
            let length = Int(rest.number(at: 0, as: UInt32.self))
            guard length >= NetlinkMessage.headerLength, length <= rest.count else { break }
            replies.append(
                NetlinkReply(
                    type: rest.number(at: 4, as: UInt16.self), flags: rest.number(at: 6, as: UInt16.self),
                    sequence: rest.number(at: 8, as: UInt32.self),
                    payload: rest.dropFirst(NetlinkMessage.headerLength).prefix(length - NetlinkMessage.headerLength)))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return replies
    }

    /// The attributes after a fixed part of `offset` bytes. If a type occurs twice, the last one counts.
    func attributes(after offset: Int) -> [UInt16: ArraySlice<UInt8>] {
        Self.attributes(payload.dropFirst(offset))
    }

    static func attributes(_ bytes: ArraySlice<UInt8>) -> [UInt16: ArraySlice<UInt8>] {
        var found: [UInt16: ArraySlice<UInt8>] = [:]
        var rest = bytes
        while rest.count >= 4 {
            let length = Int(rest.number(at: 0, as: UInt16.self))
            guard length >= 4, length <= rest.count else { break }
            found[rest.number(at: 2, as: UInt16.self) & 0x3fff] = rest.dropFirst(4).prefix(length - 4)
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return found
    }
}

extension ArraySlice<UInt8> {
    /// A number in the machine's byte order; the caller has checked that it is there.
    func number<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Number {
        withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Number.self) }
    }
}
