import NetworkPolicy

/// An Extended DNS Error (RFC 8914): why a query was not answered.
struct ExtendedError: Hashable, Sendable {
    enum Text: Hashable, Sendable {
        case words(String)
        case verdict(Verdict)
    }

    var code: UInt16
    var text: Text

    /// Blocked by policy.
    static func blocked(_ text: String) -> ExtendedError { ExtendedError(code: 15, text: .words(text)) }
    static func blocked(by verdict: Verdict) -> ExtendedError { ExtendedError(code: 15, text: .verdict(verdict)) }
    /// A cached failure.
    static let cached = ExtendedError(code: 13, text: .words(""))
    static let noReachableUpstream = ExtendedError(code: 22, text: .words("no upstream answered in time"))
    static let networkError = ExtendedError(code: 23, text: .words("the network refused the upstreams"))

    /// The most bytes of text that are sent.
    private static let maxText = 200

    /// The EDNS option: code 15, length, code of the error, text.
    func writeOption(to message: inout [UInt8]) {
        message.append(big: 15)
        let length = message.count
        message.append(big: 0)
        message.append(big: code)
        let start = message.count
        switch text {
        case .words(let words): message += words.utf8
        case .verdict(let verdict):
            message += "policy: ".utf8
            verdict.write(to: &message)
        }
        if message.count > start + Self.maxText { message.removeSubrange((start + Self.maxText)...) }
        message.put(big: UInt16(message.count - length - 2), at: length)
    }

    var option: [UInt8] {
        var bytes: [UInt8] = []
        writeOption(to: &bytes)
        return bytes
    }
}
