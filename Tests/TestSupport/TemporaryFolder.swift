import Glibc

/// A folder that goes with its owner, whatever becomes of the test.
public final class TemporaryFolder: Sendable {
    public let path: String

    /// - Parameter name: says whose it is to those who find it.
    public init(_ name: String) {
        path = "/tmp/spt-\(name)-\(UInt32.random(in: 0 ... .max))"
        precondition(mkdir(path, 0o700) == 0, "\(path) cannot be made")
    }

    deinit { try? Command.run("rm", "-rf", path) }
}
