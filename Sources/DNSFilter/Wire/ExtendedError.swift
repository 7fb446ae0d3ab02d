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

    /// Bytes of the text that are sent.
    private static let longestText = 200

    /// The EDNS option: code 15, length, code of the error, text.
    func writeOption(to message: inout [UInt8]) {
        message.append(big: 15)
        message.append(big: UInt16(optionLength - 4))
        message.append(big: code)
        message.append(contentsOf: text.utf8.prefix(Self.longestText))
    }

    var optionLength: Int { 6 + min(text.utf8.count, Self.longestText) }

    var option: [UInt8] {
        var bytes: [UInt8] = []
        writeOption(to: &bytes)
        return bytes
    }
}
