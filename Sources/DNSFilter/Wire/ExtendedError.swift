/// Why an answer is none: an Extended DNS Error (RFC 8914).
struct ExtendedError: Hashable, Sendable {
    var code: UInt16
    var text: String

    /// The answer is the policy's, not the name's.
    static func blocked(_ text: String) -> ExtendedError { ExtendedError(code: 15, text: text) }
    /// The failure was known from a moment ago.
    static let cached = ExtendedError(code: 13, text: "")
    static let noReachableUpstream = ExtendedError(code: 22, text: "no upstream answered in time")
    static let networkError = ExtendedError(code: 23, text: "the network refused the upstreams")

    /// The EDNS option: code 15, length, code of the error, text.
    var option: [UInt8] {
        let text = Array(text.utf8.prefix(200))
        return [0, 15, 0, UInt8(2 + text.count), UInt8(code >> 8), UInt8(code & 0xff)] + text
    }
}
