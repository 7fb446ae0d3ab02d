import Addresses
import Spelling

/// What a sandbox has that shares the machine's network (`LocalConfiguration.sharesNetwork`, `DockerConfiguration.sharesNetwork`):
/// ports of its own on the machine's loopback, where every sandbox would else want the same ones.
struct SharedNetwork: Codable, Hashable, Sendable {
    static let address = IPv4Address("127.0.0.1")!

    /// Where its execd listens: bound before anything of the image runs, and held until the sandbox is deleted.
    var execd: UInt16
    /// For the Jupyter server of its image, or what answers in its place. Nothing holds it.
    var code: UInt16

    /// The sandbox's ports that have another number on the machine.
    var services: [Int: Int] { [Int(StartWait.execdPort): Int(execd), Self.codePort: Int(code)] }

    private static let codePort = 44771

    /// The variables that `environment` may set.
    static let variables: Set<ExactName> = ["JUPYTER_HOST", "JUPYTER_PORT", "JUPYTER_TOKEN"]

    /// The variables of its programs, which are told of its ports. The token of an image's Jupyter server is known to everybody
    /// who has the image, and here others can connect to it: it gets one of its own.
    func environment(_ given: [ExactName: String]) -> [ExactName: String] {
        var environment = given
        guard let host = given["JUPYTER_HOST"] else {
            environment["JUPYTER_PORT"] = String(code)
            return environment
        }
        guard ["127.0.0.1", "localhost"].contains(where: { host.hasPrefix("http://\($0):") }) else { return given }
        environment["JUPYTER_HOST"] = "http://\(Self.address):\(code)"
        environment["JUPYTER_PORT"] = String(code)
        environment["JUPYTER_TOKEN"] = (0..<4).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined()
        return environment
    }
}
