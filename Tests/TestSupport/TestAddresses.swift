import Addresses
import Foundation

/// Address pools for the tests' sandboxes. Two that are in use at once would give two sandboxes one address, and the
/// host would reach only one of them: so each process begins at a random block and takes the next one each time.
public enum TestAddresses {
    private static let lock = NSLock()
    nonisolated(unsafe) private static var next = Int.random(in: 0..<count)
    private static let count = 250

    /// The next /24 of 10.`second`.0.0/16.
    public static func pool(_ second: UInt8) -> CIDRBlock {
        lock.withLock {
            next = (next + 1) % count
            return CIDRBlock("10.\(second).\(next).0/24")!
        }
    }
}
