import DNSFilter
import NetworkPolicy

/// How flows to learned addresses are checked (mode `dns+nft+sni`).
package struct FlowCheckSettings: Hashable, Sendable {
    /// The mode's name in settings and in the policy API.
    package static let mode = "dns+nft+sni"

    /// TCP and UDP ports of learned addresses that are not checked, for protocols other than TLS and HTTP.
    package var uncheckedPorts: [UInt16]
    /// The most checked flows of one sandbox; more are reset.
    package var flowsPerSandbox: Int
    /// Milliseconds within which a flow must state its name.
    package var openingTime: UInt64
    /// Milliseconds for a server to accept the connection, and for a TLS server to answer.
    package var answerTime: UInt64

    package init(
        uncheckedPorts: [UInt16] = [], flowsPerSandbox: Int = 512, openingTime: UInt64 = 10_000,
        answerTime: UInt64 = 30_000
    ) {
        self.uncheckedPorts = uncheckedPorts
        self.flowsPerSandbox = flowsPerSandbox
        self.openingTime = openingTime
        self.answerTime = answerTime
    }

    /// Parses comma-separated ports; nil if one is invalid.
    package static func ports(_ text: String) -> [UInt16]? {
        let parts = text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }
        let ports = parts.compactMap { UInt16($0) }.filter { $0 > 0 }
        return ports.count == parts.count ? ports : nil
    }
}

extension SocketMark {
    /// A random mark of 64 bits, readable only with the right to change the rules.
    package static func random() -> SocketMark {
        var random = SystemRandomNumberGenerator()
        return SocketMark(
            mark: UInt32.random(in: 1 ... .max, using: &random), priority: UInt32.random(in: 8 ... .max, using: &random)
        )
    }
}
