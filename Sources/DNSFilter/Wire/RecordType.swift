/// Record types by their IANA numbers; only those that this module treats specially.
enum RecordType {
    static let a: UInt16 = 1
    static let ns: UInt16 = 2
    static let cname: UInt16 = 5
    static let soa: UInt16 = 6
    static let ptr: UInt16 = 12
    static let mx: UInt16 = 15
    static let txt: UInt16 = 16
    static let aaaa: UInt16 = 28
    static let srv: UInt16 = 33
    static let naptr: UInt16 = 35
    static let opt: UInt16 = 41
    static let svcb: UInt16 = 64
    static let https: UInt16 = 65
    static let caa: UInt16 = 257

    /// Whether queries of a type are forwarded. NULL, ANY, zone transfers, key material and unknown types carry no
    /// addresses, but make good tunnels (docs/threats.md, E2). SVCB and HTTPS are answered here without records (E12).
    static func isForwarded(_ type: UInt16) -> Bool {
        switch type {
        case a, ns, cname, soa, ptr, mx, txt, aaaa, srv, naptr, caa: true
        default: false
        }
    }
}

/// Response codes, RFC 1035 section 4.1.1 and RFC 6891 section 9.
enum ResponseCode: UInt8, Hashable {
    case noError = 0
    case formatError = 1
    case serverFailure = 2
    case nameError = 3
    case notImplemented = 4
    case refused = 5
    /// An EDNS version other than 0. The code's upper bits are in the EDNS record.
    case badVersion = 16
}
