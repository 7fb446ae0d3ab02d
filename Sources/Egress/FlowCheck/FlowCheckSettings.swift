import DNSFilter
import NetworkPolicy

/// How flows to learned addresses are checked (mode `dns+nft+sni`).
public struct FlowCheckSettings: Hashable, Sendable {
    /// The mode's name in settings and in the policy API.
    public static let mode = "dns+nft+sni"

    /// Ports of TCP and UDP that stay open to whoever has the address, for what is neither TLS nor HTTP.
    public var uncheckedPorts: [UInt16]
    /// Most checked flows of one sandbox at one time; more are reset.
    public var flowsPerSandbox: Int
    /// Milliseconds in which a flow must have said whom it means.
    public var openingTime: UInt64
    /// Milliseconds until a server must have accepted, and a TLS server must have answered.
    public var answerTime: UInt64

    public init(
        uncheckedPorts: [UInt16] = [], flowsPerSandbox: Int = 512, openingTime: UInt64 = 10_000,
        answerTime: UInt64 = 30_000
    ) {
        self.uncheckedPorts = uncheckedPorts
        self.flowsPerSandbox = flowsPerSandbox
        self.openingTime = openingTime
        self.answerTime = answerTime
    }

    /// Ports with commas between them; nil where one is none.
    public static func ports(_ text: String) -> [UInt16]? {
        let parts = text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }
        let ports = parts.compactMap { UInt16($0) }.filter { $0 > 0 }
        return ports.count == parts.count ? ports : nil
    }
}

extension SocketMark {
    /// 64 bits that only the one who may change the rules can read.
    static func random() -> SocketMark {
        var random = SystemRandomNumberGenerator()
        return SocketMark(
            mark: UInt32.random(in: 1 ... .max, using: &random), priority: UInt32.random(in: 8 ... .max, using: &random)
        )
    }
}
